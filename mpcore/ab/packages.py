"""The packages that a tree holds, wherever they lie in it."""

import functools
import os
from collections.abc import Iterator
from pathlib import Path


@functools.cache
def packages_of(tree: Path) -> frozenset[Path]:
    """The outermost ones, by their paths in it. The tree itself is none."""
    return frozenset(_outermost(tree))


def _outermost(tree: Path) -> Iterator[Path]:
    for folder, inside, files in os.walk(tree):
        if "__init__.py" in files and Path(folder) != tree:
            yield Path(folder).relative_to(tree)
            inside.clear()
        inside[:] = [name for name in inside if is_own(Path(name))]


def is_own(relative: Path) -> bool:
    """Whether a path in a tree is the tree's own: what is hidden or lies in an environment is not."""
    return "site-packages" not in relative.parts and not any(part.startswith(".") for part in relative.parts)
