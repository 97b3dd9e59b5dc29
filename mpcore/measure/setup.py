"""What is needed to measure one case."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import torch

from mpcore.device import agreement
from mpcore.device.nvml import NvmlSampler
from mpcore.execution import Eager, executions
from mpcore.measure.errors import CASE_ERRORS, lacks_memory
from mpcore.measure.timing import TimedStep, interleave
from mpcore.precision import Inapplicable, precisions
from mpcore.records import Case, Reference, Requirements
from mpcore.strategies import strategies
from mpcore.trainers import Trainer, trainers
from mpcore.training.base import Step
from mpcore.training.of_workload import WorkloadStep
from mpcore.training.script import ScriptStep
from mpcore.workloads import Entry, OwnStep, Workload

NOT_MODELLED = "its step is its own: what is compared with FP64, or must predict, comes in as a Workload"


@dataclass(frozen=True)
class Setup:
    """A case, its workload or own step, the device that it is measured on, and what is required of it."""

    case: Case
    workload: Entry
    device: torch.device
    requirements: Requirements

    def build(self) -> Step:
        """A new step of the case. Raises TrainerError, WorkloadError, Inapplicable."""
        if isinstance(self.workload, OwnStep):
            case = self.case
            return ScriptStep(self.workload, case.precision, self.device, seed=case.seed, execution=case.execution)
        return self.train_step()

    def train_step(self, *, dropout: bool = True) -> WorkloadStep:
        """The same of a workload's model, by the trainer of the case. Raises Inapplicable for an own step."""
        case, workload = self.case, self.modelled
        kind = precisions[case.precision]
        mode = kind(keep_fp32=case.keep_fp32) if case.keep_fp32 else kind()
        options: dict[str, Any] = {"seed": case.seed, "execution": case.execution, "dropout": dropout}
        if case.spread:
            options["strategy"] = strategies[case.strategy](self.device)
        return trainers[case.trainer]().step(workload, mode, self.device, **options)

    @property
    def modelled(self) -> Workload:
        """The workload, where its step is made of it. Raises Inapplicable for an own step."""
        return modelled(self.workload)

    @property
    def compiles(self) -> bool:
        """Whether its model goes through torch.compile."""
        return executions[self.case.execution].compiles

    def by(self, trainer: type[Trainer]) -> Self:
        """The same, made by another trainer and launched as it launches it."""
        return replace(self, case=self.case.model_copy(update={"trainer": trainer.name, "execution": Eager.name}))

    def of_seed(self, seed: int) -> Self:
        return replace(self, case=self.case.model_copy(update={"seed": seed}))

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of a `Measurement`."""
        return {
            "case": self.case,
            "workload_version": self.workload.version,
            "device": self.device.type,
            "batch_size": self.workload.rows_per_batch,
            "unit": self.workload.unit,
            "units_per_sample": self.workload.units_per_sample,
            "requirements": self.requirements,
        }


def modelled(entry: Entry) -> Workload:
    """`entry`, where it is a model that mpcore makes a step of. Raises Inapplicable."""
    if not isinstance(entry, Workload):
        raise Inapplicable(NOT_MODELLED)
    return entry


@dataclass(frozen=True, kw_only=True)
class TimingSetup(Setup):
    """The same for a time. batches: that its steps take turns on, unless they bring their own. target: half-width of the 99 %
    interval, as a share, that timing goes on for."""

    batches: Sequence[Any]
    sampler: NvmlSampler
    target: float

    def timed_step(self, precision: str) -> TimedStep:
        """A new step of the case in another mode."""
        return self.timed(replace(self, case=self.case.in_precision(precision)).build())

    def timed(self, step: Step) -> TimedStep:
        return TimedStep(step, self.batches_of(step))

    def batches_of(self, step: Step) -> Sequence[Any]:
        return step.batches or self.batches

    def time_alone(self, timed: TimedStep) -> int:
        """Returns the number of rounds that were dropped."""
        return interleave([timed], self.target, self.sampler)

    def time_beside(self, own: TimedStep, names: Sequence[str]) -> tuple[dict[str, Reference], int] | None:
        """The case in turns with references: these, and the number of rounds dropped. None where the steps do not fit into
        memory together."""
        try:
            others = [self.timed_step(name) for name in names]
            dropped = interleave([own, *others], self.target, self.sampler)
        except CASE_ERRORS as error:
            if not lacks_memory(error) or agreement.ranks() > 1:  # the others wait for this one
                raise
            return None
        pairs = zip(names, others, strict=True)
        found = {name: Reference(blocks=other.blocks, rounds=own.blocks, dropped_blocks=dropped) for name, other in pairs}
        return found, dropped
