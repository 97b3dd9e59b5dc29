"""mpcore itself."""

from typing import Any

import torch

from mpcore.execution import Eager
from mpcore.precision import Precision
from mpcore.records import OWN_TRAINER
from mpcore.strategies import Strategy
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
        strategy: Strategy | None = None,
    ) -> WorkloadStep:
        options: dict[str, Any] = {"seed": seed, "execution": execution, "dropout": dropout, "strategy": strategy}
        return TrainStep(workload, precision, device, **options)

    @classmethod
    def unsupported(cls, precision: str, execution: str, device: torch.device, strategy: str = Strategy.name) -> str | None:
        return None
