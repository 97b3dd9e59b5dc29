"""Whether an interrupted comparison may go on here: pairs of other code, software or hardware are no pairs of the same."""

import hashlib
from pathlib import Path

from mpcore.ab.revisions import Checkout
from mpcore.gate.matching import differing
from mpcore.records import Comparison, Revision
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
    changed = [file.path for file in own if _hash(tree / file.path) != file.sha256]
    return f"has not the {changed[0]} that it was measured with, which --prepare may build" if changed else ""


def _hash(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""
