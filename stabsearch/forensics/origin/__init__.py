"""Where the first number that is not finite comes from, in one training step."""
