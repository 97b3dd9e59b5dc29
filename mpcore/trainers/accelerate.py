"""Hugging Face Accelerate."""

from typing import Any

import torch
from torch import Tensor, nn

from mpcore.data import Batch
from mpcore.trainers.base import StepTrainer, trainers


@trainers.register
class Accelerate(StepTrainer):
    """Hugging Face Accelerate."""

    name = "accelerate"
    title = "Accelerate"
    packages = ("accelerate",)
    modes = {"fp32": "no", "tf32": "no", "fp16-amp": "fp16", "bf16-amp": "bf16"}

    def set_up(self, model: nn.Module, optimiser: torch.optim.Optimizer) -> tuple[Any, Any]:
        from accelerate import Accelerator
        from accelerate.state import AcceleratorState

        AcceleratorState._reset_state(reset_partial_state=True)  # private API; one mode a process, otherwise
        self.accelerator = Accelerator(mixed_precision=self.mode, cpu=self.device.type == "cpu")
        return self.accelerator.prepare(model, optimiser)

    def __call__(self, batch: Batch) -> Tensor:
        loss = self.workload.loss(self.model, batch)
        self.accelerator.backward(loss)
        self.optimiser.step()
        self.optimiser.zero_grad()
        return loss.detach()
