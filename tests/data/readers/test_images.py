"""Images of a data set, as bytes."""

import pytest
import torch
from datasets import Dataset, Features, Image
from PIL.Image import new

from mpcore.data import DataError
from mpcore.data.readers.images import pixels


def images(*sizes, mode="RGB", colour=(10, 20, 30)):
    features = Features({"image": Image()})
    return Dataset.from_dict({"image": [new(mode, size, colour) for size in sizes]}, features=features)


def test_pixels_are_bytes_with_channels_first():
    found = pixels(images((4, 3)), "image", "somewhere", "RGB", (3, 4))
    assert found.shape == (1, 3, 3, 4)
    assert found.dtype == torch.uint8
    assert found[0, :, 0, 0].tolist() == [10, 20, 30]


def test_grey_has_one_channel():
    assert pixels(images((4, 4), mode="L", colour=7), "image", "somewhere", "L", (4, 4)).unique().tolist() == [7]


def test_another_size_is_named_with_its_row():
    with pytest.raises(DataError, match=r"^somewhere: image 1 has 5x4 pixels: expected 4x4$"):
        pixels(images((4, 4), (5, 4)), "image", "somewhere", "RGB", (4, 4))


def test_another_size_is_cropped_where_that_is_wanted():
    assert pixels(images((9, 5)), "image", "somewhere", "RGB", (4, 4), crop=True).shape == (1, 3, 4, 4)
