"""The figures of a run without all that they were made of, so that a thousand runs are read in a second."""

from typing import Literal

from pydantic import PositiveInt

from mpcore.records.base import Finite, Record
from mpcore.records.moment import Moment


class CaseFigures(Record):
    """Of one case, by their names: what was measured, as a table of it shows it. Without what is no number."""

    case: str
    workload_version: PositiveInt
    batch_size: PositiveInt
    figures: dict[str, Finite]


class RunFigures(Record):
    """Of one run. hardware: the key of its machine."""

    kind: Literal["figures"] = "figures"
    datetime: Moment
    commit: str | None
    hardware: str
    software: dict[str, str]
    cases: tuple[CaseFigures, ...]
