"""A plain PyTorch loop."""

from typing import Any

import torch
from torch import Tensor, nn

from mpcore.data import Batch
from mpcore.trainers.base import StepTrainer, trainers
from mpcore.workloads import Workload


@trainers.register
class Plain(StepTrainer):
    """The loop of PyTorch's tutorial on automatic mixed precision."""

    name = "plain"
    title = "plain PyTorch"
    packages = ("torch",)
    modes = {"fp32": None, "tf32": None, "fp16-amp": torch.float16, "bf16-amp": torch.bfloat16, "bf16-true": None}

    def __init__(self, workload: Workload, precision: str, device: torch.device, *, seed: int = 0) -> None:
        self.pure = precision == "bf16-true"
        super().__init__(workload, precision, device, seed=seed)

    def set_up(self, model: nn.Module, optimiser: torch.optim.Optimizer) -> tuple[Any, Any]:
        if self.pure:
            model.to(torch.bfloat16)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.mode == torch.float16)
        return model, optimiser

    def __call__(self, batch: Batch) -> Tensor:
        if self.pure:
            batch = {k: v.to(torch.bfloat16) if v.is_floating_point() else v for k, v in batch.items()}
        with torch.autocast(self.device.type, self.mode, enabled=self.mode is not None):
            loss = self.workload.loss(self.model, batch)
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.optimiser.zero_grad()
        return loss.detach()
