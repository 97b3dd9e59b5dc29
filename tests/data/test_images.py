"""Images as bytes, and generated ones."""

import pytest
import torch
from datasets import Dataset, Features, Image
from PIL.Image import new

from mpcore.data import DataError
from mpcore.data.images import CLASSES, gratings, pixels


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


def test_gratings_are_balanced_and_the_same_at_every_call():
    first, second = gratings(40, 0, 16), gratings(40, 0, 16)
    assert first["image"].shape == (40, 3, 16, 16)
    assert first["image"].dtype == torch.uint8
    assert torch.bincount(first["label"]).tolist() == [4] * CLASSES
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["image"], gratings(40, 1, 16)["image"])


def test_neither_a_mean_nor_a_pixel_tells_the_class():
    """A linear model of all pixels finds a third of them, where one in ten is chance."""
    from sklearn.linear_model import RidgeClassifier

    train, test = gratings(600, 0, 16), gratings(200, 1, 16)
    model = RidgeClassifier(alpha=1e5).fit(train["image"].flatten(1).numpy(), train["label"].numpy())
    assert model.score(test["image"].flatten(1).numpy(), test["label"].numpy()) < 0.4
