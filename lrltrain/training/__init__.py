"""Training: one loop turns blocks of tokens into the weights of K adapters at once."""
