"""All steps of one workload beside each other: ours, and those of other trainers."""

import statistics
from typing import Literal

from pydantic import NonNegativeInt, model_validator

from mpcore.records.base import Record
from mpcore.records.case import OWN_TRAINER, Case
from mpcore.records.gpu_state import GpuState
from mpcore.records.measurement import Blocks, Measurement


class Entrant(Record):
    """A step that was timed. trainer: what a sentence calls who makes it; trainer_version: of the package that counts.
    while_timed: what was compiled meanwhile, which makes its time false."""

    case: Case
    trainer: str
    trainer_version: str = ""
    blocks: Blocks
    dropped_blocks: NonNegativeInt = 0
    while_timed: tuple[str, ...] = ()

    @property
    def called(self) -> str:
        """In a sentence: "plain PyTorch 2.11.0 by reduce-overhead", and of ours "bf16-manual by compile"."""
        who = self.case.precision if self.case.trainer == OWN_TRAINER else f"{self.trainer} {self.trainer_version}".strip()
        return f"{who} by {self.case.execution}"


class Turns(Record):
    """One of ours against another, in blocks that took turns, A B B A. apart: whether they were timed one after the other, for
    there was no memory for both. gpu: how it did meanwhile, None where that is not known."""

    ours: Entrant
    theirs: Entrant
    apart: bool = False
    gpu: GpuState | None = None

    @model_validator(mode="after")
    def _pairs(self) -> "Turns":
        ours, theirs = (len(entrant.blocks.seconds) for entrant in (self.ours, self.theirs))
        if ours != theirs and not self.apart:
            raise ValueError(f"{ours} blocks took turns with {theirs}")
        return self

    @property
    def ratio(self) -> float:
        """How many times faster ours is: the ratio of the geometric means."""
        theirs, ours = (statistics.geometric_mean(e.blocks.seconds) / e.blocks.steps for e in (self.theirs, self.ours))
        return theirs / ours


class Race(Measurement):
    """Our steps of a workload, in each mode and execution, and those of other trainers in the mode of the case.

    missing: by the id of a case why there is no such step, or no memory for it. failed: why one that should be there could not
    be timed, or a pair not in turns. fastest: the fastest of ours against the fastest other. same_mode: ours by `compile`
    against plain PyTorch by `reduce-overhead`, both in the mode of the case. None where one of the two is not there.
    """

    kind: Literal["race"] = "race"
    ours: tuple[Entrant, ...]
    theirs: tuple[Entrant, ...]
    missing: dict[str, str] = {}
    failed: dict[str, str] = {}
    fastest: Turns | None
    same_mode: Turns | None = None

    @property
    def timed(self) -> tuple[Entrant, ...]:
        """All, those that took turns once more."""
        return *self.ours, *self.theirs, *(entrant for turns in self.turns for entrant in (turns.ours, turns.theirs))

    @property
    def turns(self) -> tuple[Turns, ...]:
        """What took turns, each pair once."""
        again = None if self.same_mode == self.fastest else self.same_mode
        return tuple(filter(None, (self.fastest, again)))
