import copy
import io

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, Features, Image
from PIL import Image as Pillow
from transformers import ResNetForImageClassification

from mpcore.data import DataError, Source
from mpcore.workloads.bert_imdb import BertImdb
from mpcore.workloads.resnet18_mnist import DEVIATION, MEAN, ResNet18Mnist

pytestmark = pytest.mark.usefixtures("datasets_cache")


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


@pytest.mark.parametrize(("split", "rows"), [("train", 1440), ("test", 360)])
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


@pytest.mark.parametrize(("sizes", "row"), [([(28, 28), (32, 20)], 1), ([(32, 20), (32, 20)], 0)], ids=["one of two", "all"])
def test_images_of_another_size_are_refused_with_their_file_and_row(tmp_path, sizes, row):
    source = write(tmp_path, "train", [Pillow.new("L", size) for size in sizes], [1, 2])
    with pytest.raises(DataError, match=rf"train\.parquet: image {row} has 32x20 pixels: expected 28x28"):
        ResNet18Mnist("tiny", source).data("train")


def png(size):
    """An image of noise as the first `size` bytes of its file."""
    noise = np.random.default_rng(0).integers(0, 256, (28, 28), dtype=np.uint8)
    file = io.BytesIO()
    Pillow.fromarray(noise).save(file, "PNG")
    return file.getvalue()[:size]


@pytest.mark.parametrize(
    "image",
    [None, {"bytes": b"this is no image", "path": None}, {"bytes": b"", "path": None}, {"bytes": png(400), "path": None}],
    ids=["none", "text", "nothing", "truncated"],
)
def test_an_image_that_cannot_be_decoded_is_refused_with_its_file_and_row(tmp_path, image):
    source = write(tmp_path, "train", [Pillow.new("L", (28, 28)), image], [1, 2])
    with pytest.raises(DataError, match=r"train\.parquet: image 1 cannot be read: ") as caught:
        ResNet18Mnist("tiny", source).data("train")
    assert "\n" not in str(caught.value)


def test_a_saved_model_is_loaded(workload, batch, tmp_path):
    model = workload.build_model()
    model.save_pretrained(tmp_path)
    loaded = ResNet18Mnist("tiny", checkpoint=str(tmp_path))
    weights = loaded.build_model().state_dict()
    assert weights.keys() == model.state_dict().keys()
    assert all(torch.equal(weights[name], weight) for name, weight in model.state_dict().items())
    assert loaded.loss(loaded.build_model().eval(), batch).item() == workload.loss(model.eval(), batch).item()


def test_a_checkpoint_is_loaded_in_fp32(workload, tmp_path):
    workload.build_model().to(torch.bfloat16).save_pretrained(tmp_path)
    model = ResNet18Mnist("tiny", checkpoint=str(tmp_path)).build_model()
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_a_bare_encoder_gets_a_classifier_of_its_own(workload, tmp_path):
    encoder = workload.build_model().resnet
    encoder.save_pretrained(tmp_path)
    model = ResNet18Mnist("tiny", checkpoint=str(tmp_path)).build_model()
    weights = model.resnet.state_dict()
    assert all(torch.equal(weights[name], weight) for name, weight in encoder.state_dict().items())
    assert model.classifier[-1].out_features == 10


def test_a_checkpoint_of_three_channels_is_refused(workload, tmp_path):
    config = copy.deepcopy(workload.build_model().config)
    config.num_channels = 3
    ResNetForImageClassification(config).save_pretrained(tmp_path)
    with pytest.raises(DataError, match="has num_channels 3: expected 1") as caught:
        ResNet18Mnist("tiny", checkpoint=str(tmp_path)).build_model()
    assert str(tmp_path) in str(caught.value)


def test_a_checkpoint_with_another_number_of_labels_is_refused(workload, tmp_path):
    config = copy.deepcopy(workload.build_model().config)
    config.num_labels = 7
    ResNetForImageClassification(config).save_pretrained(tmp_path)
    with pytest.raises(DataError) as caught:
        ResNet18Mnist("tiny", checkpoint=str(tmp_path)).build_model()
    assert str(caught.value) == f"checkpoint {str(tmp_path)!r} has layers of other sizes than its configuration with 10 labels"


def test_a_checkpoint_of_another_architecture_is_refused(tmp_path):
    BertImdb("tiny").build_model().save_pretrained(tmp_path)
    with pytest.raises(DataError, match="is a bert model: expected a resnet"):
        ResNet18Mnist("tiny", checkpoint=str(tmp_path)).build_model()


def test_a_missing_checkpoint_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"expected a folder with config\.json and weights, or a hub id") as caught:
        ResNet18Mnist("tiny", checkpoint=str(tmp_path / "nowhere")).build_model()
    assert str(tmp_path / "nowhere") in str(caught.value)


def test_the_matrix_is_of_ten_classes_whatever_occurs(workload):
    _, confusion = workload.score({"label": torch.tensor([0, 1])}, torch.tensor([0, 9]))
    assert [len(row) for row in confusion] == [10] * 10
    assert confusion[1][9] == 1


def test_the_full_model_is_resnet_18():
    with torch.device("meta"):
        model = ResNet18Mnist("full").build_model()
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(11.2e6, rel=0.005)


def test_no_convolution_turns_its_tensors_round(workload, splits):
    """All that goes in and out is channels last, as the weights are."""
    model, layouts = workload.build_model(), []

    def look(module, given, made):
        layouts.extend(t.is_contiguous(memory_format=torch.channels_last) for t in (*given, made, module.weight))

    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(look)
    workload.loss(model, splits["train"].rows(slice(4)))
    assert layouts
    assert all(layouts)
