"""A training step, and whole trainings."""
