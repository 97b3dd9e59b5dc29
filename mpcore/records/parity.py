"""Our step against another trainer's."""

import statistics
from typing import Literal

from pydantic import NonNegativeInt, model_validator

from mpcore.records.base import Number
from mpcore.records.measurement import Blocks, Measurement


class Parity(Measurement):
    """Our step, or training, against another trainer's, in turns on the same model, data, optimiser and mode.

    trainer: what a sentence calls the other one. Blocks of a training hold its steps. `scores` are the metric that counts, in
    0 to 1, by "ours" and "theirs".
    """

    kind: Literal["parity"] = "parity"
    trainer: str
    trainer_version: str
    ours: Blocks
    theirs: Blocks
    dropped_blocks: NonNegativeInt = 0
    scores: dict[str, Number] = {}

    @model_validator(mode="after")
    def _pairs(self) -> "Parity":
        if len(self.ours.seconds) != len(self.theirs.seconds):
            raise ValueError(f"{len(self.ours.seconds)} blocks took turns with {len(self.theirs.seconds)}")
        return self

    @property
    def identity(self) -> tuple[str, ...]:
        return *super().identity, self.trainer

    @property
    def name(self) -> str:
        return f"{super().name}:{self.trainer}"

    @property
    def ratio(self) -> float:
        """How many times faster ours is: the geometric mean over pairs."""
        theirs, ours = (statistics.geometric_mean(blocks.seconds) / blocks.steps for blocks in (self.theirs, self.ours))
        return theirs / ours
