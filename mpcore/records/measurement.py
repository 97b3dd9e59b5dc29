"""What every record of a case holds, and wall times."""

import statistics
from typing import Annotated

from pydantic import Field, PositiveInt

from mpcore.records.base import Record, Seconds, Steps
from mpcore.records.case import Case
from mpcore.records.requirements import Requirements


class Blocks(Record):
    """Wall times of blocks of `steps` training steps, each between two synchronisations of the device."""

    steps: Steps
    seconds: Annotated[tuple[Seconds, ...], Field(min_length=1)]

    @property
    def step_seconds(self) -> float:
        """Median time of one step."""
        return statistics.median(self.seconds) / self.steps

    @property
    def least_step_seconds(self) -> float:
        """Time of one step in the shortest block, in which the power limit held the clock back the least."""
        return min(self.seconds) / self.steps


class Measurement(Record):
    """What all records of a case hold.

    kind: which test measures it. units_per_sample: where a sample of the batch is more than one of what is counted, as a
    sequence is of tokens.
    """

    kind: str
    case: Case
    workload_version: PositiveInt
    device: str
    batch_size: PositiveInt
    unit: str
    units_per_sample: PositiveInt = 1
    requirements: Requirements = Requirements()

    @property
    def identity(self) -> tuple[str, ...]:
        """What no two records of a run share."""
        return self.kind, self.case.id

    @property
    def name(self) -> str:
        """What it can be called, beside others of the same case."""
        return f"{self.kind}:{self.case.id}"

    @property
    def terms(self) -> dict[str, object]:
        """What has to be the same, besides the case, for two figures to be comparable."""
        return {"version": self.workload_version, "batch": self.batch_size, "device": self.device}

    @property
    def samples(self) -> str:
        """What a batch holds, in the plural."""
        return self.unit if self.units_per_sample == 1 else f"samples of {self.units_per_sample:,} {self.unit}"
