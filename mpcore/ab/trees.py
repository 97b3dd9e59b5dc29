"""A selection, as processes that run in trees of their own are told it."""

import os
from collections.abc import Sequence
from pathlib import Path

from mpcore.records import Selection


def in_each_tree(selection: Selection, configured: Sequence[Path], trees: Sequence[Path]) -> Selection:
    """The selection as the processes of both sides are told it, which run in their trees. configured: files that are loaded
    before those of the selection.

    A file in a tree is each side's own, and named from the top of its tree. Any other file, and a folder of data, is the same
    for both.
    """
    files = dict.fromkeys(path.resolve() for path in (*configured, *map(Path, selection.load)))
    data = selection.data or os.environ.get("MPCORE_DATA")
    data = str(Path(data).resolve()) if data and Path(data).is_dir() else data
    return selection.model_copy(update={"load": tuple(_named(file, trees) for file in files), "data": data})


def _named(file: Path, trees: Sequence[Path]) -> str:
    tree = next((tree for tree in trees if file.is_relative_to(tree)), None)
    return str(file if tree is None else file.relative_to(tree))
