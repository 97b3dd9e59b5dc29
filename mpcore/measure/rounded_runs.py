"""Steps in FP64, or in FP32 where that cannot be, whose results are rounded to the digits of a format."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import torch

from mpcore.data import Batch
from mpcore.measure.observation import Observation, in_fp64, kept, moved_from, observe
from mpcore.measure.rounding import DIGITS, Rounded
from mpcore.precision import Inapplicable
from mpcore.precision.pure import FP64
from mpcore.training.step import TrainStep

T = TypeVar("T")
ROUNDINGS = 2
"""Runs whose results are rounded. One may come out right by chance, tensor by tensor. Of FP32 one is enough: what sums over a
batch may add is more."""


def rounded_runs(
    new: Callable[[], TrainStep],
    batch: Batch,
    roundoff: float,
    errors: Callable[[Observation], T],
    *,
    learning_rate: float | None = None,
    updates: int = 1,
    kept_on: torch.device | None = None,
    seeds: Sequence[int] | None = None,
) -> list[T]:
    """`errors` of runs of `updates` steps on `batch` whose results are rounded to a format, one run in memory at a time. new:
    makes a step in FP64, or in FP32 where that cannot be. kept_on: see `observe`. seeds: of the chances, None for `ROUNDINGS`
    of them. Raises what a step raises, though it did not without: a rounded number may be an index beyond the last. And
    Inapplicable for a format with as many digits as the step's own."""
    digits = round(-math.log2(roundoff))
    if seeds is None:
        seeds = range(1 if roundoff <= torch.finfo(torch.float32).eps else ROUNDINGS)
    return [errors(_rounded(new(), batch, digits, seed, learning_rate, updates, kept_on)) for seed in seeds]


def _rounded(
    step: TrainStep,
    batch: Batch,
    digits: int,
    seed: int,
    learning_rate: float | None,
    updates: int,
    kept_on: torch.device | None,
) -> Observation:
    """Its weights are rounded, too. What is updated are masters, which are not; a single update needs none."""
    dtype = torch.float64 if step.precision.name == FP64.name else torch.float32
    if digits >= DIGITS[dtype]:
        raise Inapplicable(f"{step.precision.name} has no more digits than it")
    weights = list(step.model.parameters())
    rounding = Rounded(digits, weights[0].device, seed=seed, dtype=dtype)
    masters = [weight.detach().clone() for weight in weights] if updates > 1 else []
    kept_on = kept_on or step.device
    start = {name: kept(in_fp64(weight), kept_on) for name, weight in step.weights().items()} if masters else {}

    def to_masters(*_: Any) -> None:
        rounding.on = False
        for weight, master in zip(weights, masters, strict=False):
            weight.data.copy_(master)

    def from_masters(*_: Any) -> None:
        for weight, master in zip(weights, masters, strict=False):
            master.copy_(weight.data)
        rounding.restart()
        for weight in weights:
            rounding.round_(weight.data)
        rounding.on = True

    from_masters()
    optimiser = step.precision.optimiser
    hooks = [optimiser.register_step_pre_hook(to_masters)]
    if masters:
        hooks.append(optimiser.register_step_post_hook(from_masters))
    try:
        with rounding:
            observed = observe(step, batch, updates=updates, learning_rate=learning_rate, kept_on=kept_on)
    finally:
        for hook in hooks:
            hook.remove()
    if not masters:
        return observed
    to_masters()
    moved = {name: moved_from(start.pop(name), weight) for name, weight in step.weights().items()}
    return replace(observed, updates=moved)
