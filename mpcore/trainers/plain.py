"""A plain PyTorch loop."""

import functools
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from mpcore.data import Batch
from mpcore.trainers.base import LAUNCHED, Trainer, backward_in_parts, loss_module, optimiser, trainers
from mpcore.trainers.loop import Loop
from mpcore.workloads import Workload


@trainers.register
class Plain(Trainer):
    """The loop of PyTorch's tutorial on automatic mixed precision; on ranks, with the wrapper of that on DDP."""

    name = "plain"
    title = "plain PyTorch"
    packages = ("torch",)
    executions = LAUNCHED
    strategies = ("ddp",)
    modes = {"fp32": None, "tf32": None, "fp16-amp": torch.float16, "bf16-amp": torch.bfloat16, "bf16-true": None}

    def build(self, workload: Workload, model: nn.Module, precision: str, device: torch.device) -> Loop:
        pure, dtype = precision == "bf16-true", self.modes[precision]
        norm, count = workload.recipe.max_norm, workload.recipe.accumulation
        if pure:
            model.to(torch.bfloat16)
        made = optimiser(workload, model)
        scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)
        spread = DistributedDataParallel(loss_module(workload, model)) if self.strategy == "ddp" else None
        loss_of = spread or functools.partial(workload.loss, model)
        unreduced = nullcontext if spread is None else spread.no_sync

        def forward() -> torch.autocast:
            return torch.autocast(device.type, dtype, enabled=dtype is not None)

        def step(batch: Batch) -> Tensor:
            if pure:
                batch = {k: v.to(torch.bfloat16) if v.is_floating_point() else v for k, v in batch.items()}
            loss = backward_in_parts(loss_of, batch, count, lambda loss: scaler.scale(loss).backward(), forward, unreduced)
            if norm is not None:
                scaler.unscale_(made)
                nn.utils.clip_grad_norm_(model.parameters(), norm)
            scaler.step(made)
            scaler.update()
            made.zero_grad()
            return loss

        return Loop(step=step, optimisers=[made], scaler=scaler, forward=forward)
