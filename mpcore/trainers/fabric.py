"""Lightning Fabric."""

from typing import Any

import torch
from torch import Tensor, nn

from mpcore.data import Batch
from mpcore.trainers.base import StepTrainer, trainers


@trainers.register
class Fabric(StepTrainer):
    """Lightning Fabric."""

    name = "fabric"
    title = "Fabric"
    packages = ("lightning",)
    modes = {
        "fp32": "32-true",
        "tf32": "32-true",
        "fp16-amp": "16-mixed",
        "bf16-amp": "bf16-mixed",
        "fp16-true": "16-true",
        "bf16-true": "bf16-true",
    }

    def set_up(self, model: nn.Module, optimiser: torch.optim.Optimizer) -> tuple[Any, Any]:
        from lightning.fabric import Fabric as LightningFabric

        devices = 1 if self.device.index is None or self.device.type == "cpu" else [self.device.index]
        self.fabric = LightningFabric(accelerator=self.device.type, devices=devices, precision=self.mode)
        return self.fabric.setup(model, optimiser)

    def __call__(self, batch: Batch) -> Tensor:
        loss = self.workload.loss(self.model, batch)
        self.fabric.backward(loss)
        self.optimiser.step()
        self.optimiser.zero_grad()
        return loss.detach()
