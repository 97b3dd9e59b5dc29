"""Images of a data set, as bytes."""

import numpy as np
import torch
from datasets import Dataset
from PIL import ImageOps
from PIL.Image import Image
from torch import Tensor

from mpcore.data.source import DataError

CHANNELS = {"L": 1, "RGB": 3}


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
