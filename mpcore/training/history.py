"""What a training went through, step by step, in buffers on the device."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mpcore.device import agreement
from mpcore.records import Divergence
from mpcore.training.base import Step
from mpcore.training.evaluation import Evaluation


@dataclass(frozen=True)
class Fit:
    """What a training went through. One loss and one scale for each step done; NaN scales where there is none. `seconds`
    are without those of the tests, one for each epoch where the recipe asks for them."""

    seconds: float
    losses: list[float]
    loss_scales: list[float]
    skipped_steps: int
    diverged: Divergence | None
    tests: list[Evaluation]


class History:
    """Buffers on the device, one entry a step: losses, scales after the step, and the count of skipped steps."""

    def __init__(self, steps: int, step: Step) -> None:
        self.step = step
        self.losses = torch.full((steps,), torch.nan, device=step.device)
        self.scales = torch.full((steps,), torch.nan, device=step.device)
        self.skips = torch.zeros(steps, device=step.device)
        self.done = self.checked = 0

    def append(self, loss: Tensor) -> None:
        self.losses[self.done].copy_(loss)
        if (scale := self.step.loss_scale) is not None:
            self.scales[self.done].copy_(scale)
        if (skipped := self.step.skipped) is not None:
            self.skips[self.done].copy_(skipped)
        self.done += 1

    def check(self) -> Divergence | None:
        """The first step since the last check at which the training came to nothing. Waits for the device."""
        window = slice(self.checked, self.done)
        if self.step.spread:
            self.losses[window] = agreement.means(self.losses[window])  # or one rank would go on without another
        losses, scales = self.losses[window].tolist(), self.scales[window].tolist()
        before = self.skips[self.checked - 1].item() if self.checked else 0.0
        skips = self.skips[window].tolist()
        first, self.checked = self.checked + 1, self.done
        for number, (loss, scale, skipped) in enumerate(zip(losses, scales, skips, strict=True), first):
            if not np.isfinite(loss):
                return Divergence(step=number, reason=f"the loss is {loss}")
            if skipped > before and scale <= 1:
                return Divergence(step=number, reason=f"the loss scale has collapsed to {scale:g} and gradients still overflow")
            before = skipped
        return None

    def result(self, seconds: float, diverged: Divergence | None, tests: list[Evaluation]) -> Fit:
        last = diverged.step if diverged else self.done
        return Fit(
            seconds=seconds,
            losses=self.losses[:last].tolist(),
            loss_scales=self.scales[:last].tolist(),
            skipped_steps=int(self.skips[last - 1].item()),
            diverged=diverged,
            tests=tests,
        )
