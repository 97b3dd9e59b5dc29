import datasets
import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, Features, Image
from PIL import Image as Pillow

from mpcore.data import DataError, Source
from mpcore.workloads.resnet18_mnist import DEVIATION, MEAN, ResNet18Mnist


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    """What `datasets` makes of a file goes with the test."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def workload():
    return ResNet18Mnist("tiny")


@pytest.fixture(scope="module")
def splits(workload):
    return {name: workload.data(name) for name in ("train", "test")}


@pytest.fixture(scope="module")
def batch(splits):
    return next(splits["test"].batches(8))


def write(folder, split, images, labels):
    (folder / "mnist").mkdir(exist_ok=True)
    features = Features({"image": Image(), "label": ClassLabel(num_classes=20)})
    dataset = Dataset.from_dict({"image": images, "label": labels}, features=features)
    dataset.to_parquet(folder / "mnist" / f"{split}.parquet")
    return Source(str(folder))


def seeded(workload, seed):
    torch.manual_seed(seed)
    return workload.build_model().state_dict()


@pytest.mark.parametrize(("split", "rows"), [("train", 1437), ("test", 360)])
def test_data_are_images_of_one_channel(splits, split, rows):
    columns = splits[split].columns
    assert (columns["image"].shape, columns["image"].dtype) == ((rows, 1, 28, 28), torch.float32)
    assert (columns["label"].shape, columns["label"].dtype) == ((rows,), torch.int64)
    assert columns["label"].unique().tolist() == list(range(10))


def test_the_loss_is_one_finite_number(workload, batch):
    loss = workload.loss(workload.build_model(), batch)
    assert loss.shape == ()
    assert loss.isfinite()
    assert loss.requires_grad


def test_each_image_gets_a_class(workload, batch):
    predicted = workload.predict(workload.build_model(), batch)
    assert predicted.shape == (8,)
    assert set(predicted.tolist()) <= set(range(10))


def test_the_seed_decides_the_weights(workload):
    first, same, other = seeded(workload, 3), seeded(workload, 3), seeded(workload, 4)
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_a_folder_of_images_is_read_as_it_is(tmp_path):
    source = write(tmp_path, "train", [Pillow.new("L", (28, 28), 0), Pillow.new("RGB", (28, 28), "white")], [3, 7])
    columns = ResNet18Mnist("tiny", source).data("train").columns
    assert columns["label"].tolist() == [3, 7]
    black, white = columns["image"].flatten(1)
    # grey or not, an image ends with one channel, normalised like MNIST
    np.testing.assert_allclose(black, -MEAN / DEVIATION, rtol=1e-5)
    np.testing.assert_allclose(white, (1 - MEAN) / DEVIATION, rtol=1e-5)


def test_a_large_folder_is_cut_to_a_balanced_choice(tmp_path):
    blank = Pillow.new("L", (28, 28))
    source = write(tmp_path, "test", [blank] * 500, [i % 10 for i in range(500)])
    assert ResNet18Mnist("tiny", source).data("test").columns["label"].bincount().tolist() == [36] * 10


def test_a_label_out_of_range_is_refused_with_its_file_and_row(tmp_path):
    source = write(tmp_path, "train", [Pillow.new("L", (28, 28))] * 2, [9, 10])
    with pytest.raises(DataError, match=r"train\.parquet, row 1: label 10 is not a whole number from 0 to 9"):
        ResNet18Mnist("tiny", source).data("train")


@pytest.mark.xfail(strict=True, raises=ValueError, reason="numpy's error is handed on")
def test_images_of_several_sizes_are_refused_with_their_file(tmp_path):
    source = write(tmp_path, "train", [Pillow.new("L", (28, 28)), Pillow.new("L", (32, 32))], [1, 2])
    with pytest.raises(DataError, match=r"train\.parquet"):
        ResNet18Mnist("tiny", source).data("train")


@pytest.mark.xfail(strict=True, reason="a checkpoint is taken and never looked at")
def test_a_checkpoint_is_not_ignored(tmp_path):
    with pytest.raises(DataError, match="expected"):
        ResNet18Mnist("tiny", checkpoint=str(tmp_path / "nowhere")).build_model()


def test_the_full_model_is_resnet_18():
    with torch.device("meta"):
        model = ResNet18Mnist("full").build_model()
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(11.2e6, rel=0.005)
