"""What docs/generate.py writes, one file a kind of page."""
