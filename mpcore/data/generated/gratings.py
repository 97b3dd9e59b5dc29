"""Generated images of stripes."""

import math

import torch
from torch import Tensor

CLASSES = 10
WAVES = (2.0, 3.0, 4.5, 6.75, 10.0)
"""Across an image."""


def gratings(rows: int, seed: int, side: int) -> dict[str, Tensor]:
    """`image` (rows, 3, side, side), bytes, and `label`: stripes that stand or lie, of one of five widths, which is the class.

    Phase, direction within 10 degrees, contrast and both colours are random, and there is noise. So neither a mean nor a single
    pixel tells anything, and a linear model a third. It does not matter which side is left.
    """
    generator = torch.Generator().manual_seed(seed)
    label = torch.arange(rows) % CLASSES
    label = label[torch.randperm(rows, generator=generator)]

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(rows, *shape, generator=generator)

    angle = (label % 2) * (math.pi / 2) + uniform(-math.pi / 18, math.pi / 18)
    waves = torch.tensor(WAVES)[label // 2] * 2 * math.pi
    phase, contrast = uniform(0, 2 * math.pi), uniform(40, 70, 3)
    middle, sign = uniform(90, 160, 3), torch.where(uniform(0, 1, 3) < 0.5, -1.0, 1.0)
    image = torch.empty(rows, 3, side, side, dtype=torch.uint8)
    at = torch.linspace(0, 1, side)
    for row in range(rows):
        along = angle[row].cos() * at[:, None] + angle[row].sin() * at[None, :]
        wave = (waves[row] * along + phase[row]).sin()
        noise = torch.randint(-25, 26, (3, side, side), generator=generator)
        image[row] = (middle[row] + (contrast[row] * sign[row]) * wave[..., None]).permute(2, 0, 1).add_(noise).clamp_(0, 255)
    return {"image": image, "label": label}
