"""What can be found out before a sweep spends anything, and after a trial broke."""
