"""How soon, and how safely, each search method finds where training begins to fail."""
