"""scikit-learn's real handwritten digits, 1,797 of 8x8 pixels, with the columns of MNIST, and harder than these.

Each is turned, shifted and made noisy, several times over. As they are, a network reads 99 % of 360 of them. One more that it
gets wrong is a quarter of a point, and there is little to lose.
"""

import math

import numpy as np
from datasets import ClassLabel, Dataset, Features, Image
from numpy.typing import NDArray
from PIL.Image import Resampling, Transform, fromarray

TEST_DIGITS = 360
VARIANTS = {"train": 2, "test": 8}
"""Of each digit."""
PIXELS = 28
TURN, SHIFT = math.radians(20.0), 3.0
"""At most, to either side: radians, and pixels."""
NOISE = 85.0
"""Standard deviation, in grey levels of 256."""


def digits(split: str) -> Dataset:
    """`image` (28x28, grey) and `label`; variants of every fifth digit are the test split."""
    from sklearn.datasets import load_digits  # here, for it takes a second

    data = load_digits()
    tested = np.arange(len(data.target)) % 5 == 0
    tested &= np.cumsum(tested) <= TEST_DIGITS
    chosen = tested if split == "test" else ~tested
    rng, variants = np.random.default_rng(1 if split == "test" else 0), VARIANTS[split]
    images = [_variant(rng, digit) for _ in range(variants) for digit in data.images[chosen]]
    features = Features({"image": Image(), "label": ClassLabel(num_classes=10)})
    columns = {"image": [fromarray(image) for image in images], "label": np.tile(data.target[chosen], variants).tolist()}
    return Dataset.from_dict(columns, features=features)


def _variant(rng: np.random.Generator, digit: NDArray[np.floating]) -> NDArray[np.uint8]:
    """digit: 8x8, from 0 to 16."""
    (turn,), shift = rng.uniform(-TURN, TURN, 1), rng.uniform(-SHIFT, SHIFT, 2)
    cos, sin, middle = math.cos(turn), math.sin(turn), (PIXELS - 1) / 2
    across = (cos, sin, middle - middle * (cos + sin) + shift[0])  # where a pixel comes from, as Pillow wants it
    down = (-sin, cos, middle - middle * (cos - sin) + shift[1])
    image = fromarray((digit * (255 / 16)).astype(np.uint8)).resize((PIXELS, PIXELS), Resampling.BILINEAR)
    moved = np.asarray(image.transform((PIXELS, PIXELS), Transform.AFFINE, across + down, Resampling.BILINEAR))
    return (moved + rng.normal(0, NOISE, moved.shape)).clip(0, 255).astype(np.uint8)
