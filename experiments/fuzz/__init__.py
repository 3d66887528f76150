"""Damaged input: sweeps, studies and bundles that were changed at random, given to the real command line."""
