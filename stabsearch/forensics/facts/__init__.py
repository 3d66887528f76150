"""What the rules judge: plain facts, read from a Trainer, its data and the machine without changing them."""
