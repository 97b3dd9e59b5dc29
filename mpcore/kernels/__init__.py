"""What the kernels of a step are, what differs between two lists of them, and what bounds a step. Without torch."""
