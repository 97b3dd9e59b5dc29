import numpy as np
import pytest
from datasets import Image

from mpcore.data.readers.digits import digits


@pytest.fixture(scope="module")
def splits():
    return {name: digits(name) for name in ("train", "test")}


@pytest.mark.parametrize(("split", "rows"), [("train", 1437), ("test", 360)])
def test_a_split_has_its_rows(splits, split, rows):
    assert len(splits[split]) == rows


@pytest.mark.parametrize("split", ["train", "test"])
def test_images_are_those_of_mnist_in_kind(splits, split):
    assert isinstance(splits[split].features["image"], Image)
    images = splits[split]["image"][:]
    assert {(image.size, image.mode) for image in images} == {((28, 28), "L")}
    pixels = np.stack(images)
    assert pixels.min() == 0
    assert pixels.max() > 200  # 16 grey levels are spread over 256


@pytest.mark.parametrize("split", ["train", "test"])
def test_all_digits_occur_about_equally_often(splits, split):
    counts = np.bincount(splits[split]["label"][:], minlength=10)
    assert len(counts) == 10
    assert counts.min() > 0.7 * counts.mean()


def test_no_image_is_in_both_splits(splits):
    train, test = ({image.tobytes() for image in splits[name]["image"][:]} for name in ("train", "test"))
    assert not train & test


def test_the_splits_do_not_change(splits):
    assert digits("test")["label"][:] == splits["test"]["label"][:]
