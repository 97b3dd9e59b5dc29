"""Hugging Face Accelerate."""

import functools

import torch
from torch import Tensor, nn

from mpcore.adapters.huggingface import held_mode
from mpcore.data import Batch
from mpcore.trainers.base import LAUNCHED, Trainer, backward_in_parts, optimiser, trainers
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
        norm, made = workload.recipe.max_norm, optimiser(workload, model)
        wrapped, wrapped_optimiser = accelerator.prepare(model, made)
        unreduced = functools.partial(accelerator.no_sync, wrapped)
        own_mode = held_mode()

        def step(batch: Batch) -> Tensor:
            own_mode()
            loss = backward_in_parts(workload, wrapped, batch, accelerator.backward, unreduced=unreduced)
            if norm is not None:
                accelerator.clip_grad_norm_(wrapped.parameters(), norm)
            wrapped_optimiser.step()
            wrapped_optimiser.zero_grad()
            return loss

        return Loop(step=step, optimisers=[made], scaler=accelerator.scaler, model=wrapped)


def forget_modes() -> None:
    """Accelerate has one mode a process, otherwise."""
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(reset_partial_state=True)  # private API
