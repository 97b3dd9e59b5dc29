import pytest
import torch
from scipy.ndimage import gaussian_filter, label

from mpcore.data.generated.micrographs import CELL, PIXELS, cells


@pytest.fixture(scope="module")
def micrographs():
    return cells(2, seed=0)


def best_threshold(grey, membrane):
    """The IoU of all that is darker than the best of all grey levels."""
    found = [grey < level for level in range(60, 180, 5)]
    return max(((f & membrane).sum() / (f | membrane).sum()).item() for f in found)


def test_images_and_labels_are_bytes_of_one_size(micrographs):
    for name in ("image", "label"):
        assert (micrographs[name].shape, micrographs[name].dtype) == ((2, PIXELS, PIXELS), torch.uint8)
    assert micrographs["label"].unique().tolist() == [0, 1]


def test_membranes_are_the_minority_in_each_image(micrographs):
    shares = micrographs["label"].float().mean((1, 2))
    assert shares.min() > 0.12
    assert shares.max() < 0.25


def test_membranes_part_cells_of_the_stated_size(micrographs):
    _, count = label(micrographs["label"][0].numpy() == 0)
    assert count == pytest.approx((PIXELS / CELL) ** 2, rel=0.5)


def test_membranes_are_dark(micrographs):
    image, membrane = micrographs["image"].float(), micrographs["label"].bool()
    assert image[membrane].mean() < image[~membrane].mean() - 40


def test_brightness_alone_does_not_tell_a_membrane(micrographs):
    assert best_threshold(micrographs["image"], micrographs["label"].bool()) < 0.45


def test_nor_does_brightness_without_the_noise(micrographs):
    smooth = torch.from_numpy(gaussian_filter(micrographs["image"].float().numpy(), (0, 1.2, 1.2)))
    assert best_threshold(smooth, micrographs["label"].bool()) < 0.65


def test_the_seed_decides_the_images():
    first, same, other = cells(1, seed=3), cells(1, seed=3), cells(1, seed=4)
    assert torch.equal(first["image"], same["image"])
    assert torch.equal(first["label"], same["label"])
    assert not torch.equal(first["label"], other["label"])


def test_more_rows_begin_with_the_same(micrographs):
    assert torch.equal(cells(1, seed=0)["image"][0], micrographs["image"][0])
