"""Lightning Fabric."""

import functools
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.distributed.device_mesh import DeviceMesh

from mpcore.adapters.lightning import fabric_on
from mpcore.data import Batch
from mpcore.device import agreement
from mpcore.strategies import LossModule
from mpcore.trainers.base import LAUNCHED, Trainer, backward_in_parts, loss_module, optimiser, trainers
from mpcore.trainers.loop import Loop
from mpcore.trainers.sharding import shard
from mpcore.workloads import Workload


@trainers.register
class Fabric(Trainer):
    """Lightning Fabric."""

    name = "fabric"
    title = "Fabric"
    packages = ("lightning",)
    install = "'mpcore[parity]'"
    executions = LAUNCHED
    strategies = ("ddp", "fsdp")
    modes = {
        "fp32": "32-true",
        "tf32": "32-true",
        "fp16-amp": "16-mixed",
        "bf16-amp": "bf16-mixed",
        "fp16-true": "16-true",
        "bf16-true": "bf16-true",
    }
    sharded_modes = {"fp32": "32-true", "tf32": "32-true", "bf16-manual": "32-true", "bf16-true": "bf16-true"}
    gpu_only = ("fp16-amp",)

    def build(self, workload: Workload, model: nn.Module, precision: str, device: torch.device) -> Loop:
        sharded, spread = self.strategy == "fsdp", self.strategy in self.strategies
        mode = (self.sharded_modes if sharded else self.modes)[precision]
        fabric = fabric_on(device, mode, spread=_sharding(precision) if sharded else "ddp" if spread else None)
        wrapped = fabric.setup_module(loss_module(workload, model) if spread else model)
        norm, scaler = workload.recipe.max_norm, getattr(fabric.strategy.precision, "scaler", None)
        made = optimiser(workload, model, fused=norm is None or scaler is None)  # it cannot clip what a fused one unscales
        wrapped_optimiser = fabric.setup_optimizers(made)
        loss_of = wrapped if spread else functools.partial(workload.loss, wrapped)
        unreduced = functools.partial(fabric.no_backward_sync, wrapped) if spread else nullcontext

        # What a loss computes outside a forward pass is cast, too. Where weights are cast, it would set the default dtype.
        forward = fabric.autocast if mode.endswith("mixed") else nullcontext

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


def _sharding(precision: str) -> Any:
    """Its ModelParallelStrategy, in which FSDP2 shards what the user says. A policy of formats is in the place of a
    precision."""
    from lightning.fabric.strategies.model_parallel import ModelParallelStrategy

    def sharded(whole: LossModule, mesh: DeviceMesh) -> LossModule:
        shard(whole, precision, mesh["data_parallel"], torch.bfloat16 if precision == "bf16-manual" else None)
        alone = mesh["tensor_parallel"].get_group()
        if alone is not distributed.group.WORLD:  # each step would leave one behind
            distributed.destroy_process_group(alone)
        return whole

    return ModelParallelStrategy(sharded, data_parallel_size=agreement.ranks(), tensor_parallel_size=1)
