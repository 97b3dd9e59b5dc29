"""How far a step is from the same step in FP64: on one fixed batch, from the same weights, dropout off.

Accuracy moves by chance and forgives much; this does not. Loss and gradient show a wrong cast or a dead loss scale; the
sum of the first updates shows lost master weights, which no gradient can.
"""

import math
import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mpcore.data import Batch
from mpcore.device.flops import FlopCount
from mpcore.measure.setup import Setup
from mpcore.records import Numerics
from mpcore.training.step import TrainStep

UPDATES = 20
LEARNING_RATE = 1e-5
"""Adam's, and so the size of an update: so small that it is lost where it is added to a 16-bit weight, and that the weights,
and so the gradients, hardly move. SGD's is such that the root mean square of its first update is as large."""
SKIPS_ALLOWED = 20
"""Steps that the loss scale may take to settle, in all."""


@dataclass(frozen=True)
class Observation:
    """Loss and gradients of the first step that was not skipped, and the sum of `updates` updates, in FP64."""

    learning_rate: float
    loss: float
    gradients: dict[str, Tensor]
    updates: dict[str, Tensor]
    made: int
    skipped: int
    low_precision_share: float | None
    """None where there are no FLOPs to count."""
    fp32_on_purpose: float


def observe(step: TrainStep, batch: Batch, updates: int = UPDATES, learning_rate: float | None = None) -> Observation:
    """Runs `step`, which must be new and without dropout, on `batch` until it has updated `updates` times.

    learning_rate: that of another observation, which this one is compared with.

    The gradients are taken where they count, at the optimiser's door, and divided by the scale only if the optimiser
    was told of one: what is not unscaled in time is seen.
    """
    precision = step.precision
    before = {name: w.detach().double().clone() for name, w in precision.weights().items()}
    seen: dict[str, Tensor] = {}

    def look(optimiser: torch.optim.Optimizer, *_: Any) -> None:
        scale = getattr(optimiser, "grad_scale", None)
        for name, gradient in precision.gradients().items():
            seen[name] = gradient.detach().double() / (1.0 if scale is None else scale)
        if not rate:
            rate.append(LEARNING_RATE / (_root_mean_square(seen) or 1.0))
            precision.set_learning_rate(rate[0])

    given = learning_rate if step.workload.recipe.optimiser == "SGD" else LEARNING_RATE
    rate = [] if given is None else [given]
    precision.set_learning_rate(given or 0.0)
    hook = precision.optimiser.register_step_pre_hook(look)
    loss, made, skipped = math.nan, 0, 0
    gradients: dict[str, Tensor] = {}
    while made < updates and skipped < SKIPS_ALLOWED:
        this_loss = step(batch)
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
    with FlopCount(precision.fp32_on_purpose) as flops:
        step.launch(batch)
    share = flops.low_precision_share if flops.total else None
    return Observation(rate[0], loss, gradients, moved, made, skipped, share, flops.fp32_on_purpose)


def measure_numerics(setup: Setup, batch: Batch, yardstick: Observation) -> Numerics:
    """`yardstick` is what was observed of the same step in FP64."""
    step = setup.build(dropout=False)
    start = time.perf_counter()
    observed = observe(step, batch, learning_rate=yardstick.learning_rate)
    return Numerics(
        **setup.fields | {"batch_size": len(next(iter(batch.values())))},
        seconds=time.perf_counter() - start,
        loss_error=_relative(abs(observed.loss - yardstick.loss), abs(yardstick.loss)),
        gradient_error=relative_error(observed.gradients, yardstick.gradients),
        flushed_share=_flushed_share(observed.gradients, yardstick.gradients),
        updates=observed.made,
        update_error=relative_error(observed.updates, yardstick.updates),
        skipped_steps=observed.skipped,
        low_precision_flops_share=observed.low_precision_share,
        fp32_on_purpose=observed.fp32_on_purpose,
    )


def relative_error(values: dict[str, Tensor], truth: dict[str, Tensor]) -> float:
    """|values - truth| / |truth| over all tensors together; a tensor that is missing counts as zero."""
    difference = sum((values.get(name, torch.zeros_like(t)) - t).square().sum() for name, t in truth.items())
    norm = sum(t.square().sum() for t in truth.values())
    return math.sqrt(_relative(float(difference), float(norm)))


def _relative(difference: float, truth: float) -> float:
    """Nothing is infinitely far from 0."""
    return difference / truth if truth else math.inf if difference else 0.0


def _root_mean_square(values: dict[str, Tensor]) -> float:
    return math.sqrt(sum(float(v.square().sum()) for v in values.values()) / sum(v.numel() for v in values.values()))


def _flushed_share(values: dict[str, Tensor], truth: dict[str, Tensor]) -> float:
    flushed = sum(int(((values.get(name, torch.zeros_like(t)) == 0) & (t != 0)).sum()) for name, t in truth.items())
    return flushed / max(sum(int((t != 0).sum()) for t in truth.values()), 1)
