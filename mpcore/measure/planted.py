"""Faults planted in a training: what shows whether an accuracy would tell of them."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from mpcore.training.of_workload import WorkloadStep

GRADIENT_SHARE = 0.9
SKIPPED_SHARES = (0.2, 0.4, 0.6, 0.8)
"""Of the steps, from the mildest to the worst. The mildest that costs a tolerance is the one to be found."""


@dataclass(frozen=True)
class Fault:
    """called: in words. plant: gives it to a new step, which Python must launch, for a graph has no steps to count."""

    called: str
    plant: Callable[[WorkloadStep], None]


def drop_masters(step: WorkloadStep) -> None:
    """Weights are rounded to BF16 after each update, as if nobody kept them in FP32."""

    @torch.no_grad()
    def rounded(optimiser: torch.optim.Optimizer, *_: Any) -> None:
        for group in optimiser.param_groups:
            for weight in group["params"]:
                weight.copy_(weight.to(torch.bfloat16))

    for optimiser in step.optimisers:
        optimiser.register_step_post_hook(rounded)


def scale_gradient(step: WorkloadStep) -> None:
    """The gradient of the largest weight of each optimiser is too small by a tenth. Adam divides it out again."""

    @torch.no_grad()
    def scaled(optimiser: torch.optim.Optimizer, *_: Any) -> None:
        weights = [w for group in optimiser.param_groups for w in group["params"] if w.grad is not None]
        if weights:
            max(weights, key=torch.Tensor.numel).grad.mul_(GRADIENT_SHARE)

    for optimiser in step.optimisers:
        optimiser.register_step_pre_hook(scaled)


def skip(step: WorkloadStep, share: float) -> None:
    """So large a share of the steps, evenly spread, updates nothing."""
    for optimiser in step.optimisers:
        _skip(optimiser, share)


def skipped(share: float) -> Fault:
    return Fault(f"{100 * share:.3g} % of the steps skipped", functools.partial(skip, share=share))


def _skip(optimiser: torch.optim.Optimizer, share: float) -> None:
    update, count = optimiser.step, 0

    def sometimes(*arguments: Any, **options: Any) -> Any:
        nonlocal count
        count += 1
        return None if int(count * share) > int((count - 1) * share) else update(*arguments, **options)

    optimiser.step = sometimes  # type: ignore[method-assign]


FAULTS = (
    Fault("masters dropped", drop_masters),
    Fault(f"the gradient of the largest layer times {GRADIENT_SHARE:g}", scale_gradient),
)
