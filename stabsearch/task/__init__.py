"""What is trained: model, data and collator, built once per worker and reused by every trial."""
