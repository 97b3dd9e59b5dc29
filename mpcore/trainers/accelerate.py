"""Hugging Face Accelerate."""

import functools
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from mpcore.adapters.huggingface import held_mode
from mpcore.data import Batch
from mpcore.trainers.base import LAUNCHED, Trainer, backward_in_parts, loss_module, optimiser, trainers
from mpcore.trainers.loop import Loop
from mpcore.workloads import Workload


@trainers.register
class Accelerate(Trainer):
    """Hugging Face Accelerate."""

    name = "accelerate"
    title = "Accelerate"
    packages = ("accelerate",)
    install = "'mpcore[parity]'"
    executions = LAUNCHED
    strategies = ("ddp",)
    modes = {"fp32": "no", "tf32": "no", "fp16-amp": "fp16", "bf16-amp": "bf16"}
    gpu_only = ("fp16-amp",)

    def build(self, workload: Workload, model: nn.Module, precision: str, device: torch.device) -> Loop:
        from accelerate import Accelerator

        forget_modes()
        accelerator = Accelerator(mixed_precision=self.modes[precision], cpu=device.type == "cpu")
        norm, made, spread = workload.recipe.max_norm, optimiser(workload, model), self.strategy == "ddp"
        wrapped, wrapped_optimiser = accelerator.prepare(loss_module(workload, model) if spread else model, made)
        loss_of = wrapped if spread else functools.partial(workload.loss, wrapped)
        unreduced = functools.partial(accelerator.no_sync, wrapped)
        own_mode = held_mode()

        def forward() -> AbstractContextManager[None]:
            """As its guide has it of a loss outside the model, whose forward pass alone it casts by itself."""
            own_mode()
            return accelerator.autocast()

        def step(batch: Batch) -> Tensor:
            count = workload.recipe.accumulation
            loss = backward_in_parts(loss_of, batch, count, accelerator.backward, forward, unreduced)
            if norm is not None:
                accelerator.clip_grad_norm_(wrapped.parameters(), norm)
            wrapped_optimiser.step()
            wrapped_optimiser.zero_grad()
            return loss

        return Loop(
            step=step,
            optimisers=[made],
            scaler=accelerator.scaler,
            forward=forward,
            **({"whole": wrapped} if spread else {"model": wrapped}),
        )


def forget_modes() -> None:
    """Accelerate has one mode a process, otherwise."""
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(reset_partial_state=True)  # private API
