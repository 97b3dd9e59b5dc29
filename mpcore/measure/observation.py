"""A new step on one fixed batch: its loss, its gradients, and what its first updates come to."""

import math
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mpcore.data import Batch
from mpcore.measure.draws import same_numbers
from mpcore.training.step import TrainStep

UPDATES = 20
LEARNING_RATE = 1e-5
"""Adam's, and so the size of an update: so small that it is lost where it is added to a 16-bit weight, and that the weights,
and so the gradients, hardly move. SGD's is such that the root mean square of its first update is as large."""
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
    step: TrainStep, batch: Batch, updates: int = UPDATES, learning_rate: float | None = None, *, drawn: bool = True
) -> Observation:
    """Runs `step`, which must be new and without dropout, on `batch` until it has updated `updates` times.

    learning_rate: that of another observation, which this one is compared with. drawn: whether the loss may draw random
    numbers; Python launches the step then, and each time it draws the same: within a graph no generator can be set.

    The gradients are taken where they count, at the optimiser's door, and divided by the scale only if the optimiser
    was told of one: what is not unscaled in time is seen.
    """
    precision = step.precision
    before = {name: w.detach().double().clone() for name, w in precision.weights().items()}
    seen: dict[str, Tensor] = {}

    def look(optimiser: torch.optim.Optimizer, *_: Any) -> None:
        scale = getattr(optimiser, "grad_scale", None)
        for name, gradient in precision.gradients().items():
            seen[name] = gradient.detach().to_dense().double() / (1.0 if scale is None else scale)
        if not rate:
            rate.append(LEARNING_RATE / (_root_mean_square(seen) or 1.0))
            precision.set_learning_rate(rate[0])

    follows = isinstance(precision.optimiser, torch.optim.SGD)  # whose update is as large as the gradient
    given = learning_rate if follows else LEARNING_RATE
    rate = [] if given is None else [given]
    precision.set_learning_rate(given or 0.0)
    hook = precision.optimiser.register_step_pre_hook(look)
    loss, made, skipped = math.nan, 0, 0
    gradients: dict[str, Tensor] = {}
    run = step.launch if drawn else step
    with same_numbers(precision) if drawn else nullcontext():
        while made < updates and skipped < SKIPS_ALLOWED:
            this_loss = run(batch)
            skipped_before, skipped = skipped, precision.state().skipped_steps
            if skipped > skipped_before:
                continue
            made += 1
            if made == 1:
                loss = this_loss.item()
                gradients = {name: gradient.clone() for name, gradient in seen.items()}  # a graph goes on writing to `seen`
                hook.remove()
    hook.remove()
    moved = {name: w.detach().double() - before[name] for name, w in precision.weights().items()}
    return Observation(rate[0], loss, gradients, moved, made, skipped)


def _root_mean_square(values: dict[str, Tensor]) -> float:
    return math.sqrt(sum(float(v.square().sum()) for v in values.values()) / sum(v.numel() for v in values.values()))
