"""The two that are compared, as trees: a revision in a worktree of its own, a folder, or the working tree as it is."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


class SideError(ValueError):
    """A base or head that cannot be had; the message names it."""


@dataclass(frozen=True)
class Side:
    """A tree, run by a Python. commit: None for a folder, or a working tree with changes. handicap: how many times longer each
    step is made to take."""

    name: str
    tree: Path
    python: str = sys.executable
    commit: str | None = None
    handicap: float = 1.0


@contextmanager
def sides(base: str | None, head: str | None, pythons: tuple[str, str]) -> Iterator[tuple[Side, Side]]:
    """Base and head; what was made for them is gone afterwards. Raises SideError."""
    raise NotImplementedError
    yield
