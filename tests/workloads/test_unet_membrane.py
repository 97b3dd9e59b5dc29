from functools import partial

import numpy as np
import pytest
import torch
from datasets import Dataset, Features, Image, Value
from PIL import Image as Pillow
from refused import one_sentence
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, jaccard_score

from mpcore.data import DataError, Source
from mpcore.data.generated.micrographs import cells
from mpcore.device.flops import FlopCount
from mpcore.measure import Bench
from mpcore.precision.autocast import BF16Autocast
from mpcore.precision.native import FP32
from mpcore.records import Case
from mpcore.training.evaluation import evaluate
from mpcore.training.loop import fit
from mpcore.training.step import TrainStep
from mpcore.workloads.checked import dummy_score
from mpcore.workloads.metrics import segmentation
from mpcore.workloads.unet_membrane import UNetMembrane

pytestmark = pytest.mark.usefixtures("datasets_cache")

refusal = partial(one_sentence, DataError)


@pytest.fixture(scope="module")
def workload():
    return UNetMembrane("tiny")


@pytest.fixture(scope="module")
def splits(workload):
    return {name: workload.split(name, torch.device("cpu")) for name in ("train", "test")}


@pytest.fixture
def batch(splits):
    return splits["train"].rows(slice(4))


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def white(size=(512, 512), pixel=255):
    image = Pillow.new("L", size, 255)
    image.putpixel((3, 5), pixel)
    return image


def write(folder, split, images, labels, kind=None):
    (folder / "membrane").mkdir(exist_ok=True)
    features = Features({"image": Image(), "label": kind or Image()})
    dataset = Dataset.from_dict({"image": images, "label": labels}, features=features)
    dataset.to_parquet(folder / "membrane" / f"{split}.parquet")
    return Source(str(folder))


def best_threshold(truth):
    image, membrane = truth["image"], truth["label"].bool()
    return max(segmentation(membrane, image < level)[0]["iou"] for level in range(60, 180, 5))


@pytest.mark.parametrize(("split", "rows"), [("train", 160), ("test", 128)])
def test_a_tiny_split_holds_tiles_as_bytes(splits, split, rows):
    columns = splits[split].columns
    for name in ("image", "label"):
        assert (columns[name].shape, columns[name].dtype) == ((rows, 32, 32), torch.uint8)
    assert columns["label"].unique().tolist() == [0, 1]


def test_a_full_split_holds_whole_images(monkeypatch):
    monkeypatch.setattr("mpcore.workloads.unet_membrane.cells", lambda rows, seed: cells(1, seed))
    assert UNetMembrane("full").data("test").columns["image"].shape == (1, 512, 512)


@pytest.mark.parametrize(("mode", "seed"), [(FP32, 0), (FP32, 1), (FP32, 2), (BF16Autocast, 0)])
def test_a_tiny_training_beats_every_threshold(workload, splits, cpu, mode, seed):
    step = TrainStep(workload, mode(), cpu, seed=seed)
    fit(step, splits["train"], seed=seed)
    tested = evaluate(step, splits["test"])
    truth = splits["test"].columns
    everything, _ = segmentation(truth["label"], torch.ones_like(truth["label"]))
    assert everything["iou"] == pytest.approx(truth["label"].float().mean().item())
    assert dummy_score(workload) == everything["iou"]
    assert tested.metrics["iou"] > everything["iou"] + 0.35
    assert tested.metrics["iou"] > best_threshold(truth) + 0.1
    assert sum(map(sum, tested.confusion)) == 128 * 32 * 32


def test_two_batches_are_learnt(workload, splits, cpu):
    step = TrainStep(workload, FP32(), cpu)
    step.set_rate(1.0)
    losses = [step(splits["train"].rows(slice(4 * (i % 2), 4 * (i % 2) + 4))).item() for i in range(50)]
    assert sum(losses[-2:]) < 0.5 * sum(losses[:2])


def test_the_metrics_are_those_of_scikit_learn(generator):
    truth, predicted = torch.rand(2, 3, 40, 50, generator=generator) < torch.tensor([0.2, 0.3])[:, None, None, None]
    metrics, confusion = segmentation(truth.byte(), predicted)
    a, b = truth.flatten().numpy(), predicted.flatten().numpy()
    assert metrics == pytest.approx({"iou": jaccard_score(a, b), "dice": f1_score(a, b), "accuracy": accuracy_score(a, b)})
    assert np.array_equal(confusion, confusion_matrix(a, b))


def test_the_metrics_by_hand(workload):
    truth = {"label": torch.tensor([[[1, 1, 0], [0, 0, 0]]], dtype=torch.uint8)}
    metrics, confusion = workload.score(truth, torch.tensor([[[True, False, True], [True, False, False]]]))
    assert metrics == pytest.approx({"iou": 1 / 4, "dice": 2 / 5, "accuracy": 3 / 6})
    assert confusion == ((2, 2), (1, 1))


def test_without_membranes_the_metrics_are_numbers():
    metrics, _ = segmentation(torch.zeros(1, 4, 4), torch.zeros(1, 4, 4))
    assert metrics == {"iou": 0, "dice": 0, "accuracy": 1}


def test_the_loss_of_an_undecided_model_is_that_by_hand(workload, batch):
    """Logits of 0 are probabilities of a half."""
    loss = workload.loss(lambda image: image * 0, batch)
    membrane, pixels = batch["label"].double().sum((1, 2)), 32 * 32
    dice = (membrane + 1) / (pixels / 2 + membrane + 1)
    assert loss.item() == pytest.approx(np.log(2) + 1 - dice.mean().item(), rel=1e-5)


def test_the_loss_of_a_16_bit_model_is_computed_in_fp32(workload, batch):
    loss = workload.loss(lambda image: image.bfloat16(), batch)
    assert loss.dtype == torch.float32


def test_each_pixel_gets_a_prediction(workload, batch):
    predicted = workload.predict(workload.build_model(), batch)
    assert (predicted.shape, predicted.dtype) == ((4, 32, 32), torch.bool)


def test_augmented_images_are_images_and_their_membranes_are_dark(workload, batch, generator):
    augmented = workload.augment(batch, generator)
    assert {name: (c.shape, c.dtype) for name, c in augmented.items()} == {n: (c.shape, c.dtype) for n, c in batch.items()}
    assert augmented["label"].unique().tolist() == [0, 1]
    assert not torch.equal(augmented["image"], batch["image"])
    dark, light = (augmented["image"][augmented["label"] == value].float().mean() for value in (1, 0))
    assert dark < light - 30


def test_the_generator_decides_the_augmentation(workload, batch):
    first, same, other = (workload.augment(batch, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first["image"], same["image"])
    assert torch.equal(first["label"], same["label"])
    assert not torch.equal(first["image"], other["image"])


def test_without_displacements_an_image_is_one_of_its_eight_symmetries(workload, batch, generator, monkeypatch):
    monkeypatch.setattr("mpcore.workloads.unet_membrane.DEVIATION", 0.0)
    image = batch["image"][0]
    symmetries = [torch.rot90(flipped, quarter) for flipped in (image, image.flip(0)) for quarter in range(4)]
    many = workload.augment({name: column[:1].repeat(64, 1, 1) for name, column in batch.items()}, generator)
    found = [[torch.equal(one, symmetry) for symmetry in symmetries].index(True) for one in many["image"]]
    assert set(found) == set(range(8))


def test_pixels_move_by_ten_in_512(workload, generator, monkeypatch):
    """On images of 3x3 pixels nothing lies between the points of the coarse grid."""
    monkeypatch.setattr("torch.randint", lambda high, size, **_: torch.zeros(size, dtype=torch.long))
    seen, images = {}, torch.zeros(200, 3, 3)
    monkeypatch.setattr("torch.nn.functional.grid_sample", lambda images, grid, **_: seen.update(grid=grid) or images)
    workload.augment({"image": images, "label": images}, generator)
    identity = torch.tensor([1.0, 0.0, -1.0])  # both axes are flipped where no random number says otherwise
    moved = (seen["grid"][..., 0] - identity) * 511 / 2
    assert moved.std().item() == pytest.approx(10, rel=0.1)
    assert moved.mean().item() == pytest.approx(0, abs=1)


def test_the_picture_shows_image_truth_and_prediction(workload, batch):
    picture = workload.picture(batch, torch.ones(4, 32, 32, dtype=torch.bool))
    assert (picture.shape, picture.dtype) == ((32, 96), torch.uint8)
    assert torch.equal(picture[:, :32], batch["image"][0])
    assert torch.equal(picture[:, 32:64] == 0, batch["label"][0] == 1)
    assert picture[:, 64:].max() == 0


def test_the_picture_of_a_large_image_is_cut(workload):
    large = torch.zeros(1, 512, 512, dtype=torch.uint8)
    assert workload.picture({"image": large, "label": large}, large).shape == (256, 768)


def test_a_folder_is_read_and_trained_on(tmp_path, cpu):
    written = cells(2, seed=5)
    images = [Pillow.fromarray(image.numpy()) for image in written["image"]]
    labels = [Pillow.fromarray((255 * (1 - membrane)).numpy()) for membrane in written["label"]]
    source = write(tmp_path, "train", images, labels)
    columns = UNetMembrane("full", source).data("train").columns
    assert all(torch.equal(columns[name], written[name]) for name in ("image", "label"))
    tiny = UNetMembrane("tiny", source)
    trained = fit(TrainStep(tiny, FP32(), cpu), tiny.split("train", cpu))
    assert len(trained.losses) == 20 * tiny.recipe.epochs
    assert np.mean(trained.losses[-5:]) < 0.8 * np.mean(trained.losses[:5])


def test_tiles_of_image_and_label_belong_together(tmp_path):
    noise = np.random.default_rng(0).integers(0, 2, (512, 512), dtype=np.uint8)
    source = write(tmp_path, "train", [Pillow.fromarray(100 * noise)], [Pillow.fromarray(255 * noise)])
    columns = UNetMembrane("tiny", source).data("train").columns
    assert columns["image"].shape == (160, 32, 32)
    assert torch.equal(columns["image"] == 0, columns["label"] == 1)


@pytest.mark.parametrize("value", [1, 128, 254])
def test_a_label_that_is_neither_black_nor_white_is_refused(tmp_path, value):
    source = write(tmp_path, "train", [white()] * 2, [white(), white(pixel=value)])
    message = refusal(UNetMembrane("tiny", source).data, "train")
    path = tmp_path / "membrane" / "train.parquet"
    assert message == f"{path}, row 1: the label has a pixel of {value}: expected 0, which is membrane, or 255"


@pytest.mark.parametrize("name", ["image", "label"])
@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        (white((512, 500)), "image 1 has 512x500 pixels: expected 512x512"),
        (white((64, 64)), "image 1 has 64x64 pixels: expected 512x512"),
        ({"bytes": b"this is no image", "path": None}, "image 1 cannot be read: "),
        (None, "image 1 cannot be read: "),
    ],
    ids=["not square", "small", "text", "none"],
)
def test_an_image_that_does_not_do_is_refused_with_its_column_and_row(tmp_path, name, wrong, complaint):
    columns = {"image": [white()] * 2, "label": [white()] * 2}
    columns[name] = [white(), wrong]
    source = write(tmp_path, "test", columns["image"], columns["label"])
    message = refusal(UNetMembrane("full", source).data, "test")
    assert message.startswith(f"{tmp_path / 'membrane' / 'test.parquet'}, column {name!r}: {complaint}")


def test_labels_that_are_no_images_are_refused(tmp_path):
    source = write(tmp_path, "train", [white()], [1], Value("int64"))
    message = refusal(UNetMembrane("tiny", source).data, "train")
    assert message == f"{tmp_path / 'membrane' / 'train.parquet'}: column 'label' holds Value('int64'), expected images"


def test_a_missing_column_is_named_with_those_found(tmp_path):
    source = write(tmp_path, "train", [white()], [white()])
    path = tmp_path / "membrane" / "train.parquet"
    Dataset.from_dict({"image": [white()]}, features=Features({"image": Image()})).to_parquet(path)
    message = refusal(UNetMembrane("tiny", source).data, "train")
    assert message == f"{path} has no column 'label': expected 'image' and 'label', found ['image']"


def test_a_missing_file_is_named(tmp_path):
    message = refusal(UNetMembrane("tiny", Source(str(tmp_path))).data, "train")
    assert str(tmp_path / "membrane" / "train.parquet") in message


def test_there_is_nothing_on_the_hub():
    message = refusal(UNetMembrane("tiny", Source("hub")).data, "train")
    assert message.startswith("no data for unet-membrane on the hub: expected 'embedded' or a folder")
    assert "membrane/train.parquet" in message


def test_there_are_no_pretrained_weights():
    """Nor in any other workload that never looks for its checkpoint."""
    bench = Bench(torch.device("cpu"), checkpoints={"unet-membrane": "somewhere"})
    message = refusal(bench.check, [Case(workload="unet-membrane", precision="fp32", size="tiny")])
    assert message == "unet-membrane reads no pretrained weights: expected no checkpoint for it"


@pytest.fixture(scope="module")
def full():
    with torch.device("meta"):
        return UNetMembrane("full").build_model()


WIDTHS = (64, 128, 256, 512, 1024)
CONVOLUTIONS = [
    # level, channels in, channels out, taps of the kernel for each pixel of the output
    *((level, *pair, 9) for level, w in enumerate(WIDTHS) for pair in ((1 if level == 0 else w // 2, w), (w, w))),
    *((level, 2 * w, w, 1) for level, w in enumerate(WIDTHS[1:4], 1)),
    *((level, *pair, 9) for level, w in enumerate(WIDTHS[1:4], 1) for pair in ((2 * w, w), (w, w))),
    (0, 128, 128, 1),  # the last up-convolution keeps its channels
    (0, 64 + 128, 64, 9),
    (0, 64, 64, 9),
    (0, 64, 1, 1),
]
"""Of the paper's figure 1, but for what is said."""


def test_the_full_model_has_as_many_parameters_as_its_layers(full):
    kernels = sum(into * out * (4 if taps == 1 and out > 1 else taps) for _, into, out, taps in CONVOLUTIONS)
    biases = 128 + sum(WIDTHS[1:4]) + 1
    normalisations = 2 * sum(out for *_, out, taps in CONVOLUTIONS if taps == 9)
    assert sum(p.numel() for p in full.parameters()) == kernels + biases + normalisations == 31_106_177


def test_a_full_step_has_as_many_flops_as_its_layers(full):
    batch = {name: torch.zeros(8, 512, 512, dtype=torch.uint8, device="meta") for name in ("image", "label")}
    with FlopCount() as flops:
        UNetMembrane("full").loss(full, batch).backward()
    forward = sum(2 * 8 * 512**2 // 4**level * into * out * taps for level, into, out, taps in CONVOLUTIONS)
    first = 2 * 8 * 512**2 * 64 * 9  # whose input needs no gradient
    assert flops.total == 3 * forward - first
