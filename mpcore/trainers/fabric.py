"""Lightning Fabric."""

import functools
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from mpcore.adapters.lightning import fabric_on
from mpcore.data import Batch
from mpcore.trainers.base import LAUNCHED, Trainer, backward_in_parts, loss_module, optimiser, trainers
from mpcore.trainers.loop import Loop
from mpcore.workloads import Workload


@trainers.register
class Fabric(Trainer):
    """Lightning Fabric."""

    name = "fabric"
    title = "Fabric"
    packages = ("lightning",)
    install = "'mpcore[parity]'"
    executions = LAUNCHED
    strategies = ("ddp",)
    modes = {
        "fp32": "32-true",
        "tf32": "32-true",
        "fp16-amp": "16-mixed",
        "bf16-amp": "bf16-mixed",
        "fp16-true": "16-true",
        "bf16-true": "bf16-true",
    }
    gpu_only = ("fp16-amp",)

    def build(self, workload: Workload, model: nn.Module, precision: str, device: torch.device) -> Loop:
        spread = self.strategy == "ddp"
        fabric = fabric_on(device, self.modes[precision], spread=spread)
        norm, scaler = workload.recipe.max_norm, getattr(fabric.strategy.precision, "scaler", None)
        made = optimiser(workload, model, fused=norm is None or scaler is None)  # it cannot clip what a fused one unscales
        wrapped, wrapped_optimiser = fabric.setup(loss_module(workload, model) if spread else model, made)
        loss_of = wrapped if spread else functools.partial(workload.loss, wrapped)
        unreduced = functools.partial(fabric.no_backward_sync, wrapped) if spread else nullcontext

        # What a loss computes outside a forward pass is cast, too. Where weights are cast, it would set the default dtype.
        forward = fabric.autocast if self.modes[precision].endswith("mixed") else nullcontext

        def step(batch: Batch) -> Tensor:
            loss = backward_in_parts(loss_of, batch, workload.recipe.accumulation, fabric.backward, forward, unreduced)
            if norm is not None:
                fabric.clip_gradients(wrapped, wrapped_optimiser, max_norm=norm)
            wrapped_optimiser.step()
            wrapped_optimiser.zero_grad()
            return loss

        return Loop(
            step=step,
            optimisers=[made],
            scaler=scaler,
            forward=forward,
            **({"whole": wrapped} if spread else {"model": wrapped}),
        )
