"""What a sweep of 10,000 trials, 1,000 at a time, costs the process that drives it."""
