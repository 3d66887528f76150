"""The same trials by each method, each in a process of its own."""
