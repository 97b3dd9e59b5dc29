"""Base against head."""

from typing import Literal

from pydantic import NonNegativeInt

from mpcore.records.base import Number, PositiveFloat, Record
from mpcore.records.case import Case, Selection
from mpcore.records.machine import Machine
from mpcore.records.verdict import Status, Verdict


class Contender(Record):
    """One of two that are compared: a tree, run by a Python. commit: None for a folder, or a working tree with changes."""

    name: str
    commit: str | None
    python: str
    handicap: Number = 1.0
    machine: Machine


class Pair(Record):
    """A case in one fresh process of base and one of head: seconds of a step, median block."""

    base_seconds: PositiveFloat
    head_seconds: PositiveFloat
    head_first: bool


class Compared(Record):
    """A case in base and head. confirmation: pairs that were measured because the others said `worse`. lost: why pairs are not
    whole. pool_bytes: what the graph holds, the median of the processes, of base and of head."""

    case: Case
    pairs: tuple[Pair, ...]
    confirmation: tuple[Pair, ...] = ()
    lost: tuple[str, ...] = ()
    pool_bytes: tuple[NonNegativeInt, NonNegativeInt] | None = None
    verdicts: tuple[Verdict, ...]


class Comparison(Record):
    """Base against head. failures and skipped: by case, why nothing can be said of it; skipped where this machine runs it in
    neither."""

    kind: Literal["comparison"] = "comparison"
    base: Contender
    head: Contender
    selection: Selection
    seed: int
    datetime: str
    cases: tuple[Compared, ...]
    failures: dict[str, str] = {}
    skipped: dict[str, str] = {}

    @property
    def statuses(self) -> set[Status]:
        return {verdict.status for compared in self.cases for verdict in compared.verdicts}
