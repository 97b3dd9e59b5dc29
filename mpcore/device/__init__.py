"""The device: what it is, its memory, its clocks, what runs on it."""
