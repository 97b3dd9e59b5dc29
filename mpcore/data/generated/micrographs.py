"""Generated electron micrographs: tissue whose cells are parted by dark membranes, with what makes these hard to tell.

The membranes are the borders of a warped Voronoi diagram, of a width and a darkness that drift over the image. Cells hold
organelles as dark as a membrane, outlined or filled, and fibres; blur and noise go over everything. A pixel's brightness
alone tells little, a line's width and where it leads tell the rest.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import ImageDraw
from PIL.Image import Resampling, fromarray
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree
from torch import Tensor

PIXELS = 512
CELL = 52.0
"""Mean distance of two cells, in pixels, as all lengths here."""
WARP = 9.0
WIDTH = (3.0, 8.0)
CYTOPLASM, MEMBRANE = (135, 175), (60, 110)
"""Grey levels between which they vary."""
ORGANELLES, RADII = 270, (3.0, 12.0)
BLUR, NOISE = 1.2, 28.0

Field = NDArray[np.floating]


def cells(rows: int, seed: int) -> dict[str, Tensor]:
    """`image`, grey, and `label`, 1 on a membrane and 0 elsewhere, each (rows, 512, 512) bytes."""
    pairs = [_micrograph(np.random.default_rng((seed, row))) for row in range(rows)]
    image, label = (torch.from_numpy(np.stack(column)) for column in zip(*pairs, strict=True))
    return {"image": image, "label": label}


def _micrograph(rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    distance, cell = _borders(rng)
    membrane = distance < _drift(rng, *WIDTH) / 2
    inside = _with_organelles(rng, rng.uniform(*CYTOPLASM, cell.max() + 1)[cell])
    grey = np.where(membrane, _drift(rng, *MEMBRANE), inside)
    grey = gaussian_filter(grey, BLUR) + rng.normal(0, NOISE, grey.shape)
    return grey.clip(0, 255).astype(np.uint8), membrane.astype(np.uint8)


def _borders(rng: np.random.Generator) -> tuple[Field, NDArray[np.intp]]:
    """Of each pixel, the distance to the nearest border of its cell, and the cell's number."""
    margin = 2 * CELL
    edge = PIXELS + 2 * margin
    centres = rng.uniform(-margin, PIXELS + margin, (round((edge / CELL) ** 2), 2))
    place = np.stack([axis + _drift(rng, -WARP, WARP) for axis in np.indices((PIXELS, PIXELS))], axis=-1)
    distances, numbers = (np.moveaxis(np.asarray(found), -1, 0) for found in cKDTree(centres).query(place, k=2))
    apart = np.linalg.norm(centres[numbers[0]] - centres[numbers[1]], axis=-1)
    return (distances[1] ** 2 - distances[0] ** 2) / (2 * apart), numbers[0]


def _drift(rng: np.random.Generator, low: float, high: float) -> Field:
    """A smooth field about `low` to `high`."""
    coarse = rng.uniform(low, high, (16, 16)).astype(np.float32)
    return np.asarray(fromarray(coarse).resize((PIXELS, PIXELS), Resampling.BICUBIC))


def _with_organelles(rng: np.random.Generator, grey: Field) -> NDArray[np.uint8]:
    """Filled ones, outlined ones and fibres, as many of each."""
    image = fromarray(grey.astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for number in range(ORGANELLES):
        x, y, width, height = rng.uniform((0, 0, RADII[0], RADII[0]), (PIXELS, PIXELS, RADII[1], RADII[1]))
        box, shade = (x - width, y - height, x + width, y + height), int(rng.integers(*MEMBRANE))
        if number % 3 == 0:
            draw.ellipse(box, fill=shade)
        elif number % 3 == 1:
            draw.ellipse(box, outline=shade, width=2)
        else:
            start = rng.uniform(0, 360)
            draw.arc(box, start, start + 180, fill=shade, width=2)
    return np.asarray(image)
