"""A record with what the gate says of it."""

from typing import Annotated

from pydantic import Field

from mpcore.records.base import Record
from mpcore.records.check import Check
from mpcore.records.cost import Cost
from mpcore.records.drift import Drift
from mpcore.records.numerics import Numerics
from mpcore.records.paired_confirmation import PairedConfirmation
from mpcore.records.parallel import Parallel
from mpcore.records.parity import Parity
from mpcore.records.quality import Quality
from mpcore.records.race import Race
from mpcore.records.regression import Regression
from mpcore.records.speed import Speed
from mpcore.records.work import Work

AnyRecord = Annotated[Speed | Quality | Numerics | Parity | Race | Drift | Work | Parallel, Field(discriminator="kind")]


class Result(Record):
    """One record, and what the gate says of it.

    confirmation: the same case measured again in a fresh process, because the first measurement looked worse than accepted
    runs. Or the sentence that says why it was not. pairs: the same beside the accepted commit, or why it was not; None where
    that was not asked. cost: what it took to measure the record. pooled: names of trainings whose spread counts here, though
    their tests came later.
    """

    record: AnyRecord
    confirmation: Speed | str | None = None
    pairs: PairedConfirmation | str | None = None
    checks: tuple[Check, ...] = ()
    regressions: tuple[Regression, ...] = ()
    cost: Cost | None = None
    pooled: tuple[str, ...] = ()

    @property
    def judgements(self) -> tuple[Check | Regression, ...]:
        return *self.checks, *self.regressions

    @property
    def passed(self) -> bool:
        return all(j.passed for j in self.judgements)
