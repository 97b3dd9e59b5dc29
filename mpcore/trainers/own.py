"""mpcore itself."""

import torch

from mpcore.execution import Eager
from mpcore.precision import Precision
from mpcore.records import OWN_TRAINER
from mpcore.trainers.base import Trainer, trainers
from mpcore.training.of_workload import WorkloadStep
from mpcore.training.step import TrainStep
from mpcore.workloads import Workload


@trainers.register
class Own(Trainer):
    """mpcore's own step, in every mode and every execution."""

    name = OWN_TRAINER
    modes = {}

    def step(
        self,
        workload: Workload,
        precision: Precision,
        device: torch.device,
        *,
        seed: int = 0,
        execution: str = Eager.name,
        dropout: bool = True,
    ) -> WorkloadStep:
        return TrainStep(workload, precision, device, seed=seed, execution=execution, dropout=dropout)

    @classmethod
    def unsupported(cls, precision: str, execution: str, device: torch.device) -> str | None:
        return None
