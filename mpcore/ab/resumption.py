"""Whether an interrupted comparison may go on here: pairs of other code, software or hardware are no pairs of the same."""

import hashlib
from pathlib import Path

from mpcore.ab.git import git
from mpcore.ab.revisions import Checkout, repository
from mpcore.gate.matching import differing
from mpcore.records import WORKING_TREE, Comparison, LoadedFile, Revision
from mpcore.selection import SelectionError


def check_resumed(earlier: Comparison, sides: tuple[Checkout, Checkout], now: tuple[Revision, Revision]) -> None:
    """Raises SelectionError where base or head is not what it was. earlier: what there is of the comparison."""
    for name, side, before, after in zip(("base", "head"), sides, (earlier.base, earlier.head), now, strict=True):
        if why := _other(before, after) or _changed(before, side.tree):
            raise SelectionError(f"the comparison cannot go on: {name} {why}: expected that, or a new comparison")


def _other(before: Revision, after: Revision) -> str:
    if before.machine.hardware.key != after.machine.hardware.key:
        return f"was measured on {before.machine.hardware.key}, and this is {after.machine.hardware.key}"
    software = differing(before.machine.software, after.machine.software)
    return f"was measured with other software ({software})" if software else ""


def _changed(before: Revision, tree: Path) -> str:
    """What it had loaded from its tree and is not there as it was: what a build has left lies in no other tree."""
    own = [file for file in before.loaded.files if file.place is None] if before.loaded else []
    changed = [file.path for file in own if not _is_there(file, tree)]
    return f"has not the {changed[0]} that it was measured with, which --prepare may build" if changed else ""


def in_no_commit(side: Revision) -> list[str]:
    """What a working tree had loaded of its own and git does not know, as what was built in it. Empty for a revision, which had
    a tree of its own."""
    if side.name != WORKING_TREE or side.loaded is None:
        return []
    tracked = git("-C", str(repository()), "ls-files", "--recurse-submodules", "-z").stdout.split("\0")
    return [file.path for file in side.loaded.files if file.place is None and file.path not in tracked]


def _is_there(file: LoadedFile, tree: Path) -> bool:
    """A module as it was. What was built need only be there: a compiler may write the folder of the tree into it. The commit
    holds its sources."""
    place = tree / file.path
    if place.suffix != ".py":
        return place.is_file()
    return place.is_file() and hashlib.sha256(place.read_bytes()).hexdigest() == file.sha256
