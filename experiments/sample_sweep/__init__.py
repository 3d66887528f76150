"""Sweeps of simulated trials with every way to end, written by the product's own study and report."""
