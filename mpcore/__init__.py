"""A performance-regression suite for mixed-precision training in PyTorch."""
