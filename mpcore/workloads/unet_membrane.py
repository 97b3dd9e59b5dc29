"""`unet-membrane`: which pixels of an electron micrograph show a cell's membrane? The U-Net of Ronneberger, Fischer and
Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation" (2015).

As in most implementations since, its convolutions are padded, so that a prediction has the size of its image, and batch
normalisation follows them. The last up-convolution keeps its channels. The loss is the cross-entropy of a pixel, without the
paper's weights by the distance to a border, plus what is missing to full overlap.
"""

import torch
from datasets import Dataset, Image
from torch import Tensor, nn
from torch.nn import functional as F

from mpcore.data import Batch, DataError, Split
from mpcore.data.generated.micrographs import PIXELS, cells
from mpcore.data.readers.images import pixels
from mpcore.data.source import EMBEDDED, HUB
from mpcore.records import Confusion, Recipe
from mpcore.workloads.base import Workload, workloads
from mpcore.workloads.metrics import segmentation
from mpcore.workloads.step_memory import StepMemory
from mpcore.workloads.unet import UNet

FEATURES = {"tiny": (16, 16, 16, 16, 16, 16), "full": (64, 128, 256, 512, 1024, 64)}
"""Channels of the five levels, and after the last up-convolution."""
IMAGES = {"tiny": {"train": 2, "test": 1}, "full": {"train": 24, "test": 6}}
"""How many are generated; a folder may hold any number."""
TILE, TILES = 32, {"train": 160, "test": 128}
"""Pixels of an edge, and how many there are in a tiny split."""
GREY, CONTRAST = 128.0, 64.0
DEVIATION = 10 * 2 / (PIXELS - 1)
"""Of a displacement, 10 pixels of 512 in the paper, where an image goes from -1 to 1."""
SHOWN = 256


@workloads.register
class UNetMembrane(Workload):
    """`tiny` has the same levels, 16 channels wide, on tiles of 32x32 pixels: a fixed choice among all of its images."""

    name = "unet-membrane"
    unit = "images"
    metric = "iou"
    recipes = {
        "tiny": Recipe(epochs=2, batch_size=8, learning_rate=8e-3, optimiser="Adam", weight_decay=0.0),
        "full": Recipe(epochs=128, batch_size=8, learning_rate=1e-3, optimiser="Adam", weight_decay=0.0),
    }
    step_memory = StepMemory(fixed=0.46, per_sample=1.65)
    tolerances = {"tiny": 3.0, "full": 1.0}
    conditioning = 8.0
    kink_factor = 4.0
    numerics_rows = {"tiny": 4, "full": 1}
    long_training = True
    amp_must_beat = ("fp32", "tf32")
    eager_amp_must_beat = ("fp32", "tf32")

    def build_model(self) -> nn.Module:
        model = UNet(FEATURES[self.size])
        return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it

    def data(self, split: str) -> Split:
        if self.source.where == HUB:
            raise DataError(
                f"no data for {self.name} on the hub: expected 'embedded' or a folder that holds membrane/train.parquet "
                "and membrane/test.parquet"
            )
        if self.source.where == EMBEDDED:
            columns = cells(IMAGES[self.size][split], seed=("train", "test").index(split))
        else:
            columns = _micrographs(*self.source.load("membrane", HUB, split))
        return Split(columns if self.size == "full" else _tiles(columns, TILES[split]))

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        logits = self._logits(model, batch)
        logits = logits.float() if logits.element_size() < 4 else logits
        truth = batch["label"].to(logits.dtype)
        return F.binary_cross_entropy_with_logits(logits, truth) + _dice_loss(logits.sigmoid(), truth)

    def predict(self, model: nn.Module, batch: Batch) -> Tensor:
        return self._logits(model, batch) > 0

    def score(self, truth: Batch, predicted: Tensor) -> tuple[dict[str, float], Confusion | None]:
        return segmentation(truth["label"], predicted)

    def dummy_prediction(self, train: Split, test: Split) -> Tensor:
        """Membrane everywhere."""
        return torch.ones_like(test.columns["label"])

    def augment(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Turned by quarters, flipped and deformed; beyond its edges an image is mirrored, as in the paper."""
        grid = _deformation(batch["image"], generator)
        return {
            "image": _resampled(batch["image"], grid, "bilinear"),
            "label": _resampled(batch["label"], grid, "nearest"),
        }

    def picture(self, batch: Batch, predicted: Tensor) -> Tensor | None:
        """The image, its membranes and those predicted, black on white, from left to right."""
        drawn = [255 * (~mask[0].bool()).byte() for mask in (batch["label"], predicted)]
        return torch.cat([part[:SHOWN, :SHOWN] for part in (batch["image"][0], *drawn)], dim=1)

    def _logits(self, model: nn.Module, batch: Batch) -> Tensor:
        """(batch, height, width), of each pixel being membrane."""
        return model((batch["image"][:, None].float() - GREY) / CONTRAST)[:, 0]


def _dice_loss(probabilities: Tensor, truth: Tensor) -> Tensor:
    """1 less the soft Dice coefficient, of each image, then the mean (Milletari et al., "V-Net", 2016, without squares)."""
    overlap = (probabilities * truth).sum((1, 2))
    sizes = probabilities.sum((1, 2)) + truth.sum((1, 2))
    return 1 - ((2 * overlap + 1) / (sizes + 1)).mean()  # the ones are for an image without membranes


def _deformation(images: Tensor, generator: torch.Generator) -> Tensor:
    """(batch, height, width, 2): where each pixel comes from, x and y in -1 to 1.

    One of the eight symmetries of the square, plus displacements by a Gaussian on a grid of 3x3, in between bicubic.
    """
    rows, height, width = images.shape
    signs = torch.randint(2, (rows, 2), device=images.device, generator=generator) * 2.0 - 1
    turned = torch.randint(2, (rows, 1, 1), device=images.device, generator=generator).bool()
    axes = torch.diag_embed(signs)
    symmetries = F.pad(torch.where(turned, axes.flip(1), axes), (0, 1))
    coarse = torch.randn(rows, 2, 3, 3, device=images.device, generator=generator) * DEVIATION
    displacements = F.interpolate(coarse, (height, width), mode="bicubic", align_corners=True)
    return F.affine_grid(symmetries, [rows, 1, height, width], align_corners=True) + displacements.permute(0, 2, 3, 1)


def _resampled(images: Tensor, grid: Tensor, mode: str) -> Tensor:
    """Bytes, as they were."""
    pixels = F.grid_sample(images[:, None].float(), grid, mode=mode, padding_mode="reflection", align_corners=True)
    return pixels[:, 0].round().to(images.dtype)


def _micrographs(dataset: Dataset, where: str) -> dict[str, Tensor]:
    """`image` and `label`, each (rows, 512, 512) bytes; a label is 1 on a membrane. Raises DataError."""
    columns = {name: _column(dataset, name, where) for name in ("image", "label")}
    for row, label in enumerate(columns["label"]):
        if len(other := label[(label != 0) & (label != 255)]):
            raise DataError(f"{where}, row {row}: the label has a pixel of {other[0]}: expected 0, which is membrane, or 255")
    return columns | {"label": (columns["label"] == 0).byte()}


def _column(dataset: Dataset, name: str, where: str) -> Tensor:
    """(rows, 512, 512) bytes. Raises DataError."""
    if name not in dataset.column_names:
        raise DataError(f"{where} has no column {name!r}: expected 'image' and 'label', found {dataset.column_names}")
    if not isinstance(kind := dataset.features[name], Image):
        raise DataError(f"{where}: column {name!r} holds {kind}, expected images")
    return pixels(dataset.select_columns(name), name, f"{where}, column {name!r}", "L", (PIXELS, PIXELS))[:, 0]


def _tiles(columns: dict[str, Tensor], rows: int) -> dict[str, Tensor]:
    """At most `rows` of those that the images can be cut into, chosen by a fixed seed."""
    cut = {name: c.unfold(1, TILE, TILE).unfold(2, TILE, TILE).reshape(-1, TILE, TILE) for name, c in columns.items()}
    chosen = torch.randperm(len(cut["image"]), generator=torch.Generator().manual_seed(0))[:rows]
    return {name: column[chosen] for name, column in cut.items()}
