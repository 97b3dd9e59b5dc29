"""A new step on one fixed batch: its loss, its gradients, and what its first updates come to."""

import functools
import math
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from mpcore.data import Batch
from mpcore.measure.draws import same_numbers
from mpcore.trainers import TrainerError
from mpcore.training.base import needs
from mpcore.training.buffers import Buffers
from mpcore.training.of_workload import WorkloadStep

UPDATES = 20
LEARNING_RATE = 1e-5
"""Adam's, and so the size of an update. It is so small that it is lost where it is added to a 16-bit weight, and that weights
and gradients hardly move. SGD's is such that the root mean square of its first update is as large."""
ROOM_BYTES = 2**25
"""Of the host's memory that the GPU writes to, once it has, to the end of the process."""
SKIPS_ALLOWED = 20
"""Steps that the loss scale may take to settle, in all."""


@dataclass(frozen=True)
class Observation:
    """Loss and gradients of the first step that was not skipped, and the sum of `made` updates, in FP64."""

    learning_rate: float
    loss: float
    gradients: dict[str, Tensor]
    updates: dict[str, Tensor]
    made: int
    skipped: int


def observe(
    step: WorkloadStep,
    batch: Batch,
    updates: int = UPDATES,
    learning_rate: float | None = None,
    *,
    drawn: bool = True,
    kept_on: torch.device | None = None,
) -> Observation:
    """Runs `step`, which must be new and without dropout, on `batch` until it has updated `updates` times.

    learning_rate: the rate of another observation, which this one is compared with. drawn: whether the loss may draw random
    numbers. Python launches the step then, and each time it draws the same, for within a graph no generator can be set.
    kept_on: where gradients and updates are returned, None for the step's own device.

    Raises Inapplicable for a step that lacks what is looked at. Raises TrainerError for one whose optimisers are not those that
    it steps, or have no gradient of the model's.
    """
    needs(step, "rate", "optimisers", "weights")
    kept_on = kept_on or step.device
    before = {name: kept(in_fp64(w), kept_on) for name, w in step.weights().items()}
    door = _Door(step, learning_rate)
    loss, made, tried, skipped = math.nan, 0, 0, 0
    gradients: dict[str, Tensor] = {}
    run = step.launch if drawn else step
    remembered = Buffers(step.model)
    with door, same_numbers(step) if drawn else nullcontext():
        while made < updates and tried - made < SKIPS_ALLOWED:
            this_loss, tried = run(batch), tried + 1
            skipped_before, skipped = skipped, step.scale_state().skipped_steps
            if skipped > skipped_before or not door.called:  # what skips without a count does not come to the optimiser
                remembered.put_back()  # FP64 skips none, and has seen the batch as many times as it has updated
                continue
            made += 1
            remembered = Buffers(step.model)
            if made == 1:
                door.close()
                loss = this_loss.item()
                gradients = {name: kept(gradient, kept_on) for name, gradient in door.gradients.items()}
                door.gradients.clear()  # a graph goes on writing to them
    if not door.called and not skipped:
        expected = "expected those of torch.optim. What a library wraps around them is not called"
        raise TrainerError(f"{step.label}: none of the optimisers that it names was called in {tried} steps: {expected}")
    moved = {name: moved_from(before.pop(name), w) for name, w in step.weights().items()}
    return Observation(door.learning_rate or 0.0, loss, gradients, moved, made, tried - made)


class _Door:
    """with _Door(step, learning_rate) as door: step(batch)

    Where the optimisers of a step are given the gradients, and these count. `gradients`, of the last step, are divided by the
    scale only if the optimiser was told of one. So a gradient that is not unscaled in time is seen. `learning_rate` is the rate
    of the first step. For SGD it follows from its gradients where none is given. `called`: whether any optimiser was.
    """

    def __init__(self, step: WorkloadStep, learning_rate: float | None) -> None:
        self.gradients: dict[str, Tensor] = {}
        self.called = False
        as_large_as_gradient = any(isinstance(optimiser, torch.optim.SGD) for optimiser in step.optimisers)  # an update
        self.learning_rate = learning_rate if as_large_as_gradient else LEARNING_RATE
        self._step = step

    def __enter__(self) -> None:
        self._step.set_learning_rate(self.learning_rate or 0.0)
        self._hooks = [optimiser.register_step_pre_hook(self._at_the_door) for optimiser in self._step.optimisers]

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Looks no more."""
        for hook in self._hooks:
            hook.remove()

    def _at_the_door(self, optimiser: torch.optim.Optimizer, args: Any, kwargs: Any) -> Any:
        """The gradients are there once the closure was called, where the optimiser is given one."""
        given = [x for x in (*args, *kwargs.values()) if callable(x)]
        if not given:
            return self._look(optimiser)

        def closure() -> Any:
            loss = given[0]()
            self._look(optimiser)
            return loss

        return tuple(closure if x is given[0] else x for x in args), {
            name: closure if x is given[0] else x for name, x in kwargs.items()
        }

    def _look(self, optimiser: torch.optim.Optimizer) -> None:
        scale = getattr(optimiser, "grad_scale", None)
        for name, gradient in self._step.gradients().items():
            self.gradients[name] = in_fp64(gradient) / (1.0 if scale is None else scale)
        if not self.gradients:
            expected = (
                "expected build() to train the model that it is given. What trains other weights is a Loop, which says them"
            )
            raise TrainerError(
                f"{self._step.label}: no weight of the model has a gradient where its optimiser steps: {expected}"
            )
        self.called = True
        if self.learning_rate is None:
            self.learning_rate = LEARNING_RATE / (_root_mean_square(self.gradients) or 1.0)
            self._step.set_learning_rate(self.learning_rate)


def kept(tensor: Tensor, device: torch.device) -> Tensor:
    """A copy on `device`, of numbers that NumPy has. It asks for huge pages, where PyTorch takes thrice as long to come by a
    host's memory."""
    if not _goes_to_host(tensor, device):
        return tensor.detach().to(device, copy=True)
    numbers = torch.empty(0, dtype=tensor.dtype).numpy().dtype
    copy = torch.from_numpy(np.empty(tensor.shape, numbers))
    for where, part in _on_host(tensor):
        copy.view(-1)[where] = part
    return copy


def moved_from(before: Tensor, weight: Tensor) -> Tensor:
    """How far `weight` is from what it was `before`, in whose place that comes."""
    now = in_fp64(weight)
    if not _goes_to_host(now, before.device):
        return torch.sub(now, before, out=before)
    entries = before.view(-1)
    for where, part in _on_host(now):
        torch.sub(part, entries[where], out=entries[where])
    return before


def _goes_to_host(tensor: Tensor, device: torch.device) -> bool:
    return tensor.is_cuda and device.type == "cpu"


def _on_host(tensor: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Its entries, part by part, each in the place of the one before. Through memory that the GPU writes to by itself gigabytes
    go several times as fast."""
    entries, room = tensor.detach().reshape(-1), _room().view(tensor.dtype)
    for first in range(0, len(entries), len(room)):
        where = slice(first, min(first + len(room), len(entries)))
        yield where, room[: where.stop - first].copy_(entries[where])


@functools.cache
def _room() -> Tensor:
    return torch.empty(ROOM_BYTES, dtype=torch.uint8, device="cpu", pin_memory=True)


def in_fp64(tensor: Tensor) -> Tensor:
    """Dense, of all shards, and of a complex tensor both parts, in a last dimension."""
    whole = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
    dense = whole.detach().to_dense()
    return torch.view_as_real(dense.to(torch.complex128).resolve_conj()) if dense.is_complex() else dense.double()


def _root_mean_square(values: dict[str, Tensor]) -> float:
    return math.sqrt(sum(float(v.square().sum()) for v in values.values()) / sum(v.numel() for v in values.values()))
