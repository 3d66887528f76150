"""How much of a sweep's time is training: stabsearch beside what else one would use."""
