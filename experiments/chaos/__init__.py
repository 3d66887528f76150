"""Sweeps that are killed at random, in every part, and what is left of them in the end."""
