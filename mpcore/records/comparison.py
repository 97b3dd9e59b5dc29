"""Base against head."""

from typing import Literal

from pydantic import NonNegativeInt

from mpcore.records.base import Bytes, Number, PositiveFloat, Record
from mpcore.records.case import Case
from mpcore.records.loaded import Loaded
from mpcore.records.machine import Machine
from mpcore.records.moment import Moment
from mpcore.records.regression import Regression, RegressionStatus
from mpcore.records.selection import Selection

WORKING_TREE = "the working tree"
"""What a head is called that is no commit and no folder."""


class Revision(Record):
    """One of two that are compared: a tree, run by a Python. commit: None for a folder, or a working tree with changes.
    slowdown: how many times longer each of its steps was made to take. command: what came before the Python, as a container's
    does. loaded: its code, None of one too old to say."""

    name: str
    commit: str | None
    python: str
    slowdown: Number = 1.0
    command: tuple[str, ...] = ()
    machine: Machine
    loaded: Loaded | None = None


class Pair(Record):
    """A case in one fresh process of base and one of head: seconds of a step, median block."""

    base_seconds: PositiveFloat
    head_seconds: PositiveFloat
    head_first: bool


class PairedCase(Record):
    """A case in base and head. pairs: none where work was compared, which repeats. confirmation: pairs that were measured
    because the others said `worse`. lost: why pairs are not whole. pool_bytes: what the graph holds, the median of the
    processes, of base and of head. open: whether it was still being measured when the comparison was interrupted."""

    case: Case
    pairs: tuple[Pair, ...]
    confirmation: tuple[Pair, ...] = ()
    lost: tuple[str, ...] = ()
    pool_bytes: tuple[Bytes, Bytes] | None = None
    regressions: tuple[Regression, ...]
    open: bool = False


class Comparison(Record):
    """Base against head. by: what was compared, times or work, or code where that is the same. flags: options of the command
    beside the selection. seed: of the order within pairs, None where there are none. failures and skipped: by case, why nothing
    can be said of it; skipped where this machine runs it in neither. interrupted: the exit code of what ended it before all was
    decided; None where it came to its end."""

    kind: Literal["comparison"] = "comparison"
    by: Literal["time", "work", "code"] = "time"
    base: Revision
    head: Revision
    selection: Selection
    flags: tuple[str, ...] = ()
    seed: int | None = None
    datetime: Moment
    cases: tuple[PairedCase, ...]
    failures: dict[str, str] = {}
    skipped: dict[str, str] = {}
    interrupted: NonNegativeInt | None = None

    @property
    def statuses(self) -> set[RegressionStatus]:
        return {regression.status for case in self.cases for regression in case.regressions}
