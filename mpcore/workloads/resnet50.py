"""`resnet50`: ResNet-50 (v1.5: its strides are in the 3x3 convolutions) on images of 224x224 in batches of 256, channels last.
From the hub come Imagenette's ten classes of ImageNet."""

import functools
from typing import ClassVar

import torch
from torch import Tensor, nn

from mpcore.data import Batch, Split
from mpcore.data.generated.gratings import gratings
from mpcore.data.readers.images import pixels
from mpcore.data.source import EMBEDDED, balanced, labelled
from mpcore.records import Recipe
from mpcore.workloads.base import Workload, cross_entropy, workloads
from mpcore.workloads.checkpoint import pretrained_model
from mpcore.workloads.step_memory import StepMemory

ROWS = {"tiny": {"train": 640, "test": 200}, "full": {"train": 9469, "test": 3925}}
GENERATED = {"tiny": ROWS["tiny"], "full": {"train": 2048, "test": 500}}
SIDE = {"tiny": 48, "full": 224}
NARROW = {"embedding_size": 16, "hidden_sizes": [64, 64, 64, 128], "depths": [1, 1, 1, 1]}
MEAN, DEVIATION = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
"""Of ImageNet's training pixels, 0 to 255."""


@workloads.register
class ResNet50(Workload):
    """`tiny` has one narrow block a stage and images of 48x48."""

    name = "resnet50"
    version = 3
    unit = "images"
    classes = 10
    recipes = {
        "tiny": Recipe(epochs=4, batch_size=32, learning_rate=8e-3),
        "full": Recipe(epochs=10, batch_size=256, learning_rate=1e-3),
    }
    step_memory = StepMemory(fixed=0.36, per_sample=0.0935)
    tolerances = {"tiny": 6.0, "full": 1.5}
    conditioning = 16.0
    reads_checkpoint = True
    kink_factor = 4.0
    numerics_rows = {"tiny": 16, "full": 16}
    long_training = True
    amp_must_beat = ("fp32", "tf32")
    eager_amp_must_beat = ("fp32", "tf32")
    files: ClassVar[dict[str, tuple[str, ...]]] = {"train": ("train.parquet",), "test": ("test.parquet", "validation.parquet")}

    def build_model(self) -> nn.Module:
        """Each block begins as the identity (Goyal et al., "Accurate, Large Minibatch SGD", 2017). Without that the first
        gradients grow from block to block, and those of FP32 are 4 % away from FP64's."""
        from transformers import ResNetConfig, ResNetForImageClassification
        from transformers.models.resnet.modeling_resnet import ResNetBottleNeckLayer

        if self.checkpoint is not None:
            checkpoint = self.checkpoint
            model = pretrained_model(ResNetForImageClassification, checkpoint, "resnet", self.classes, num_channels=(3, 3))
        else:
            config = ResNetConfig(num_labels=self.classes, **(NARROW if self.size == "tiny" else {}))
            model = ResNetForImageClassification(config)
            for block in model.modules():
                if isinstance(block, ResNetBottleNeckLayer):
                    nn.init.zeros_(block.layer[-1].normalization.weight)
        return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # its stubs lack the keyword

    def data(self, split: str) -> Split:
        side = SIDE[self.size]
        if self.source.where == EMBEDDED:
            columns = gratings(GENERATED[self.size][split], ("train", "test").index(split), side)
        else:
            hub_split = "validation" if split == "test" and self.source.folder is None else split
            dataset, where = self.source.load("imagenette", "frgfm/imagenette/320px", hub_split, files=self.files[split])
            chosen = balanced(labelled(dataset, where, "image", self.classes), ROWS[self.size][split], self.classes)
            images = pixels(chosen, "image", where, "RGB", (side, side), crop=True)
            columns = {"image": images, "label": torch.tensor(chosen["label"][:])}
        return Split(columns | {"image": columns["image"].contiguous(memory_format=torch.channels_last)})

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return cross_entropy(self._logits(model, batch), batch["label"])

    def predict(self, model: nn.Module, batch: Batch) -> Tensor:
        return self._logits(model, batch).argmax(-1)

    def augment(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Half of the images are turned left to right."""
        image = batch["image"]
        turned = torch.rand(len(image), 1, 1, 1, device=image.device, generator=generator) < 0.5
        return batch | {"image": torch.where(turned, image.flip(3), image)}

    def _logits(self, model: nn.Module, batch: Batch) -> Tensor:
        mean, deviation = _of_channels(batch["image"].device)
        return model(pixel_values=batch["image"].sub(mean).div_(deviation)).logits


@functools.cache
def _of_channels(device: torch.device) -> tuple[Tensor, Tensor]:
    """Mean and deviation, copied to `device` once: a step that is captured copies nothing from the host."""
    mean, deviation = (torch.tensor(values, device=device, dtype=torch.float32)[:, None, None] for values in (MEAN, DEVIATION))
    return mean, deviation
