"""What is needed to measure one case."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from mpcore.data import Batch
from mpcore.device.nvml import NvmlSampler
from mpcore.measure.timing import TimedStep, interleave
from mpcore.precision import precisions
from mpcore.records import Case, Reference, Requirements
from mpcore.training.step import TrainStep
from mpcore.workloads import Workload


@dataclass(frozen=True)
class Setup:
    """A case, its workload, the device that it is measured on, and what is required of it."""

    case: Case
    workload: Workload
    device: torch.device
    requirements: Requirements

    def build(self, *, dropout: bool = True) -> TrainStep:
        """A new step of the case."""
        mode = precisions[self.case.precision]()
        options: dict[str, Any] = {"seed": self.case.seed, "execution": self.case.execution, "dropout": dropout}
        return TrainStep(self.workload, mode, self.device, **options)

    def of_seed(self, seed: int) -> "Setup":
        return replace(self, case=self.case.model_copy(update={"seed": seed}))

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of a `Measurement`."""
        return {
            "case": self.case,
            "workload_version": self.workload.version,
            "device": self.device.type,
            "batch_size": self.workload.recipe.batch_size,
            "unit": self.workload.unit,
            "units_per_sample": self.workload.units_per_sample,
            "requirements": self.requirements,
        }


@dataclass(frozen=True, kw_only=True)
class TimingSetup(Setup):
    """The same for a time. batches: that its steps take turns on. target: half-width of the 99 % interval, as a share, that
    timing goes on for."""

    batches: Sequence[Batch]
    sampler: NvmlSampler
    target: float

    def timed_step(self, precision: str) -> TimedStep:
        """A new step of the case in another mode."""
        return TimedStep(replace(self, case=self.case.in_precision(precision)).build(), self.batches)

    def time_alone(self, timed: TimedStep) -> int:
        """Returns the number of rounds that were dropped."""
        return interleave([timed], self.target, self.sampler)

    def time_beside(self, own: TimedStep, names: Sequence[str]) -> tuple[dict[str, Reference], int] | None:
        """The case in turns with references: these, and the number of rounds dropped. None where the steps do not fit into
        memory together."""
        try:
            others = [self.timed_step(name) for name in names]
            dropped = interleave([own, *others], self.target, self.sampler)
        except torch.cuda.OutOfMemoryError:
            return None
        pairs = zip(names, others, strict=True)
        found = {name: Reference(blocks=other.blocks, rounds=own.blocks, dropped_blocks=dropped) for name, other in pairs}
        return found, dropped
