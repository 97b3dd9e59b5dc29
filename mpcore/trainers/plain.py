"""A plain PyTorch loop."""

import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule
from torch.nn.parallel import DistributedDataParallel

from mpcore.data import Batch
from mpcore.device import agreement
from mpcore.trainers.base import LAUNCHED, Trainer, backward_in_parts, loss_module, optimiser, trainers
from mpcore.trainers.loop import Loop
from mpcore.trainers.sharding import shard
from mpcore.workloads import Workload


@trainers.register
class Plain(Trainer):
    """The loop of PyTorch's tutorial on automatic mixed precision; on ranks, with the wrapper of that on DDP, or sharded as in
    that on FSDP2, whose mixed precision is `bf16-manual`."""

    name = "plain"
    title = "plain PyTorch"
    packages = ("torch",)
    executions = LAUNCHED
    strategies = ("ddp", "fsdp")
    modes = {"fp32": None, "tf32": None, "fp16-amp": torch.float16, "bf16-amp": torch.bfloat16, "bf16-true": None}
    sharded_modes = {"fp32": None, "tf32": None, "bf16-manual": torch.bfloat16, "bf16-true": None}

    def build(self, workload: Workload, model: nn.Module, precision: str, device: torch.device) -> Loop:
        pure = precision == "bf16-true"
        norm, count = workload.recipe.max_norm, workload.recipe.accumulation
        if pure:
            model.to(torch.bfloat16)
        loss_of: Callable[[Batch], Tensor] = functools.partial(workload.loss, model)
        unreduced: Callable[[], AbstractContextManager[Any]] = nullcontext
        whole, dtype = None, self.modes.get(precision)
        if self.strategy == "ddp":
            loss_of = spread = DistributedDataParallel(loss_module(workload, model))
            unreduced = spread.no_sync
        elif self.strategy == "fsdp":
            loss_of = whole = loss_module(workload, model)
            shard(whole, precision, init_device_mesh(device.type, (agreement.ranks(),)), self.sharded_modes[precision])
            unreduced = functools.partial(_unreduced, whole)
        made = optimiser(workload, model)
        scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)

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

        return Loop(step=step, optimisers=[made], scaler=scaler, forward=forward, whole=whole)


@contextmanager
def _unreduced(sharded: nn.Module) -> Iterator[None]:
    assert isinstance(sharded, FSDPModule)
    sharded.set_requires_gradient_sync(False)
    try:
        yield
    finally:
        sharded.set_requires_gradient_sync(True)
