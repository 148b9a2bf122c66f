"""From blocks of tokens to weights: one loop for K adapters at once."""
