"""A record with its verdicts."""

from typing import Annotated

from pydantic import Field, PositiveInt

from mpcore.records.base import Record
from mpcore.records.numerics import Numerics
from mpcore.records.parity import Parity
from mpcore.records.quality import Quality
from mpcore.records.speed import Speed
from mpcore.records.verdict import Verdict

SCHEMA = 3
"""Version of the layout below, stored with every result. Those from 2 on are readable: what is new since has a default."""
AnyRecord = Annotated[Speed | Quality | Numerics | Parity, Field(discriminator="kind")]


class Result(Record):
    """One record and what the gate said of it: what a benchmark carries in `extra_info["mpcore"]`."""

    layout: PositiveInt = SCHEMA
    record: AnyRecord
    verdicts: tuple[Verdict, ...] = ()

    @property
    def passed(self) -> bool:
        return all(v.passed for v in self.verdicts)
