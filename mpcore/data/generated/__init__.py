"""Data sets that are generated, and need no network and no file: one file each."""
