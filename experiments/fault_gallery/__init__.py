"""Faults planted on purpose, and what stabsearch and other tools say about each."""
