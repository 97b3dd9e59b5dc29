"""Data sets that exist, as tensors: one file a kind."""
