"""Saved runs and baselines: pytest-benchmark's own files, with our results inside. A file that cannot be used is one clear
sentence, and never taken for none."""

from mpcore.store.accept import KEEP, accept
from mpcore.store.baselines import accepted, all_accepted, comparable
from mpcore.store.files import KEY, LAYOUTS, RunError, load, load_either, load_published
from mpcore.store.write import write

__all__ = [
    "KEEP",
    "KEY",
    "LAYOUTS",
    "RunError",
    "accept",
    "accepted",
    "all_accepted",
    "comparable",
    "load",
    "load_either",
    "load_published",
    "write",
]
