"""`vit-l-cifar10` and `resnet50`."""

from types import SimpleNamespace

import pytest
import torch
from datasets import Dataset, Features, Image, Value
from PIL.Image import new

from mpcore.data import DataError, Source
from mpcore.device.flops import FlopCount
from mpcore.precision.native import FP32
from mpcore.training.evaluation import evaluate
from mpcore.training.loop import fit
from mpcore.training.step import TrainStep
from mpcore.workloads.checked import dummy_score
from mpcore.workloads.resnet50 import DEVIATION, MEAN, ResNet50
from mpcore.workloads.vit_l_cifar10 import VitLCifar10

CPU = torch.device("cpu")
BOTH = pytest.mark.parametrize("workload", [VitLCifar10, ResNet50])


@BOTH
def test_a_row_is_an_image_of_bytes_and_its_class(workload):
    split = workload("tiny").split("train", CPU)
    assert split.columns["image"].dtype == torch.uint8
    assert split.columns["image"].shape[:2] == (640, 3)
    assert torch.bincount(split.columns["label"]).tolist() == [64] * 10


@BOTH
@pytest.mark.parametrize("seed", [0, 1])
def test_the_tiny_recipe_beats_the_majority_class_by_far(workload, seed):
    """Which is one in ten."""
    subject = workload("tiny")
    step = TrainStep(subject, FP32(), CPU, seed=seed)
    trained = fit(step, subject.split("train", CPU), seed=seed)
    assert sum(trained.losses[-5:]) < 0.6 * sum(trained.losses[:5])
    assert evaluate(step, subject.split("test", CPU)).metrics["accuracy"] > 0.5


@pytest.mark.parametrize(
    ("workload", "parameters", "flops"),
    [(VitLCifar10, 303_311_882, 2 * 61.6e9), (ResNet50, 23_528_522, 2 * 4.09e9)],
    ids=["ViT-L/16 with ten classes", "ResNet-50 with ten classes"],
)
def test_the_full_model_is_the_published_one(workload, parameters, flops):
    """Parameters but for the classes, and two FLOPs for each multiplication that the papers count of an image."""
    subject = workload("full")
    with torch.device("meta"):
        model = subject.build_model()
    assert sum(p.numel() for p in model.parameters()) == parameters
    with FlopCount() as counted:
        model(pixel_values=torch.empty(1, 3, 224, 224, device="meta"))
    assert counted.total == pytest.approx(flops, rel=0.02)


def test_blocks_of_a_new_resnet_are_the_identity():
    last = [p for name, p in ResNet50("tiny").build_model().named_parameters() if name.endswith("layer.2.normalization.weight")]
    assert last
    assert all(not weight.any() for weight in last)


def test_pixels_are_normalised_channel_by_channel(monkeypatch):
    """Channels last as they are, and with no copy from the host after the first."""
    subject, given = ResNet50("tiny"), []
    batch = next(subject.split("train", CPU).batches(4))
    subject.predict(lambda pixel_values: given.append(pixel_values) or SimpleNamespace(logits=torch.zeros(4, 10)), batch)
    monkeypatch.setattr(torch, "tensor", None)
    subject.predict(lambda pixel_values: given.append(pixel_values) or SimpleNamespace(logits=torch.zeros(4, 10)), batch)
    wanted = [(batch["image"][:, i].float() - MEAN[i]) / DEVIATION[i] for i in range(3)]
    assert torch.equal(given[1], torch.stack(wanted, dim=1))
    assert given[1].is_contiguous(memory_format=torch.channels_last)


def test_augmentation_turns_some_images_and_depends_on_the_seed_alone():
    subject = ResNet50("tiny")
    batch = next(subject.split("train", CPU).batches(32))
    turned = [subject.augment(batch, torch.Generator().manual_seed(seed))["image"] for seed in (0, 0, 1)]
    same = [torch.equal(a, b) for a, b in zip(turned[0], batch["image"], strict=True)]
    mirrored = [torch.equal(a, b.flip(2)) for a, b in zip(turned[0], batch["image"], strict=True)]
    assert any(same)
    assert any(mirrored)
    assert all(a or b for a, b in zip(same, mirrored, strict=True))
    assert torch.equal(turned[0], turned[1])
    assert not torch.equal(turned[0], turned[2])


def folder(tmp_path, name, column, size, labels):
    features = Features({column: Image(), "label": Value("int64")})
    for split in ("train", "test"):
        (tmp_path / name).mkdir(exist_ok=True)
        rows = {column: [new("RGB", size) for _ in labels], "label": labels}
        Dataset.from_dict(rows, features=features).to_parquet(tmp_path / name / f"{split}.parquet")
    return Source(str(tmp_path))


def test_cifar_in_a_folder_is_read(tmp_path):
    source = folder(tmp_path, "cifar10", "img", (32, 32), [0, 9, 3])
    split = VitLCifar10("tiny", source).split("test", CPU)
    assert split.columns["image"].shape == (3, 3, 32, 32)
    assert split.columns["label"].tolist() == [0, 9, 3]


def test_imagenette_in_a_folder_is_cropped(tmp_path):
    source = folder(tmp_path, "imagenette", "image", (50, 70), [1, 2])
    assert ResNet50("tiny", source).split("train", CPU).columns["image"].shape == (2, 3, 48, 48)


@pytest.mark.parametrize(
    ("size", "labels", "sentence"),
    [((31, 32), [0], "image 0 has 31x32 pixels: expected 32x32"), ((32, 32), [10], "row 0: label 10 is not a whole number")],
)
def test_what_is_wrong_with_a_file_is_one_sentence(tmp_path, size, labels, sentence):
    with pytest.raises(DataError, match=sentence):
        VitLCifar10("tiny", folder(tmp_path, "cifar10", "img", size, labels)).data("train")


@pytest.mark.parametrize(("gigabytes", "batch"), [(141, 256), (24, 128), (16, 128), (8, 32)])
def test_a_smaller_gpu_has_a_smaller_batch_in_size_fit_alone(gigabytes, batch):
    assert ResNet50("full").recipe.batch_size == 256
    assert ResNet50.fitting_batch(gigabytes) == batch


@BOTH
def test_who_has_learnt_nothing_names_one_class(workload):
    assert dummy_score(workload("tiny")) == pytest.approx(0.1)
