import numpy as np
import pytest
from datasets import Image
from sklearn.datasets import load_digits

from mpcore.data.readers.digits import digits


@pytest.fixture(scope="module")
def splits():
    return {name: digits(name) for name in ("train", "test")}


@pytest.mark.parametrize(("split", "rows"), [("train", 2 * 1437), ("test", 8 * 360)])
def test_a_split_has_its_rows(splits, split, rows):
    assert len(splits[split]) == rows


@pytest.mark.parametrize("split", ["train", "test"])
def test_images_are_those_of_mnist_in_kind(splits, split):
    assert isinstance(splits[split].features["image"], Image)
    images = splits[split]["image"][:]
    assert {(image.size, image.mode) for image in images} == {((28, 28), "L")}
    pixels = np.stack(images)
    assert (pixels.min(), pixels.max()) == (0, 255)
    assert pixels.std() > 85  # of noise, which is cut off at both ends, and of digits


@pytest.mark.parametrize("split", ["train", "test"])
def test_all_digits_occur_about_equally_often(splits, split):
    counts = np.bincount(splits[split]["label"][:], minlength=10)
    assert len(counts) == 10
    assert counts.min() > 0.7 * counts.mean()


def test_no_digit_is_in_both_splits():
    """Its variants would be, too."""
    data = load_digits()
    tested = np.arange(len(data.target)) % 5 == 0
    tested &= np.cumsum(tested) <= 360
    for split, chosen in (("train", ~tested), ("test", tested)):
        assert digits(split)["label"][: chosen.sum()] == data.target[chosen].tolist()


def test_each_variant_is_another(splits):
    images = [image.tobytes() for image in splits["test"]["image"][:]]
    assert len(set(images)) == len(images)


def test_the_splits_do_not_change(splits):
    again = digits("test")
    assert [image.tobytes() for image in again["image"][:9]] == [image.tobytes() for image in splits["test"]["image"][:9]]
