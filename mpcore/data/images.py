"""Images of a data set as bytes, and generated ones."""

import math

import numpy as np
import torch
from datasets import Dataset
from PIL import ImageOps
from PIL.Image import Image
from torch import Tensor

from mpcore.data.source import DataError

CHANNELS = {"L": 1, "RGB": 3}
CLASSES = 10
WAVES = (2.0, 3.0, 4.5, 6.75, 10.0)
"""Across an image."""


def pixels(dataset: Dataset, column: str, where: str, mode: str, shape: tuple[int, int], *, crop: bool = False) -> Tensor:
    """(rows, channels, height, width) bytes; `mode` is Pillow's "L" or "RGB". `crop`: the middle of images of any other
    `shape`, scaled. Raises DataError with `where`, which names the file, and the row."""
    images = torch.empty(len(dataset), CHANNELS[mode], *shape, dtype=torch.uint8)
    for row in range(len(dataset)):
        try:
            image: Image = dataset[row][column].convert(mode)
        except Exception as error:  # Pillow raises whatever a broken file leads it to
            raise DataError(f"{where}: image {row} cannot be read: {error}") from error
        if crop:
            image = ImageOps.fit(image, shape[::-1])
        if image.size != shape[::-1]:
            wide, high = image.size
            raise DataError(f"{where}: image {row} has {wide}x{high} pixels: expected {shape[1]}x{shape[0]}")
        images[row] = torch.from_numpy(np.array(image)).reshape(*shape, -1).permute(2, 0, 1)
    return images


def gratings(rows: int, seed: int, side: int) -> dict[str, Tensor]:
    """`image` (rows, 3, side, side), bytes, and `label`: stripes that stand or lie, of one of five widths, which is the class.

    Phase, direction within 10 degrees, contrast and both colours are random, and there is noise, so that neither a mean nor a
    single pixel tells anything, and a linear model a third; nor does it matter which side is left.
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
