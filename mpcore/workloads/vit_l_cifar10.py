"""`vit-l-cifar10`: ViT-L/16 on CIFAR-10 enlarged to 224x224, batch 32, Adam, three epochs: the comparison of all 16-bit
modes in S. Raschka, "Accelerating Large Language Models with Mixed-Precision Techniques"."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mpcore.data import Batch, Split
from mpcore.data.generated.gratings import gratings
from mpcore.data.readers.images import pixels
from mpcore.data.source import EMBEDDED, balanced, labelled
from mpcore.records import Recipe
from mpcore.workloads.base import Workload, cross_entropy, workloads
from mpcore.workloads.checkpoint import pretrained_model
from mpcore.workloads.step_memory import StepMemory

ROWS = {"tiny": {"train": 640, "test": 200}, "full": {"train": 50_000, "test": 10_000}}
GENERATED = {"tiny": ROWS["tiny"], "full": {"train": 2560, "test": 500}}
SIDE = {"tiny": 32, "full": 224}
CONFIG = {
    "tiny": {
        "hidden_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 96,
        "image_size": 32,
        "patch_size": 8,
    },
    "full": {
        "hidden_size": 1024,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "intermediate_size": 4096,
        "image_size": 224,
        "patch_size": 16,
    },
}


@workloads.register
class VitLCifar10(Workload):
    """`tiny` is the same architecture, 48 wide and 2 layers deep, on the 32x32 pixels as they are."""

    name = "vit-l-cifar10"
    unit = "images"
    classes = 10
    recipes = {
        "tiny": Recipe(epochs=5, batch_size=32, learning_rate=2e-3, optimiser="Adam", weight_decay=0.0),
        "full": Recipe(epochs=3, batch_size=32, learning_rate=5e-5, optimiser="Adam", weight_decay=0.0),
    }
    step_memory = StepMemory(fixed=4.5, per_sample=0.285)
    tolerances = {"tiny": 3.0, "full": 1.5}
    conditioning = 64.0
    reads_checkpoint = True
    numerics_rows = {"tiny": 16, "full": 4}
    long_training = True
    amp_must_beat = ("fp32", "tf32")
    eager_amp_must_beat = ("fp32", "tf32")

    def build_model(self) -> nn.Module:
        from transformers import ViTConfig, ViTForImageClassification

        from mpcore.workloads.attention import UNMASKED

        if self.checkpoint is not None:
            side = SIDE[self.size]
            return pretrained_model(
                ViTForImageClassification, self.checkpoint, "vit", self.classes, image_size=(side, side), num_channels=(3, 3)
            )
        config = ViTConfig(num_labels=self.classes, **CONFIG[self.size])
        config._attn_implementation = UNMASKED  # private API
        return ViTForImageClassification(config)

    def data(self, split: str) -> Split:
        if self.source.where == EMBEDDED:
            return Split(gratings(GENERATED[self.size][split], ("train", "test").index(split), side=32))
        dataset, where = self.source.load("cifar10", "uoft-cs/cifar10", split)
        chosen = balanced(labelled(dataset, where, "img", self.classes), ROWS[self.size][split], self.classes)
        return Split({"image": pixels(chosen, "img", where, "RGB", (32, 32)), "label": torch.tensor(chosen["label"][:])})

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return cross_entropy(self._logits(model, batch), batch["label"])

    def predict(self, model: nn.Module, batch: Batch) -> Tensor:
        return self._logits(model, batch).argmax(-1)

    def _logits(self, model: nn.Module, batch: Batch) -> Tensor:
        """Bytes are enlarged here and not before: 224x224 floats of all images would fill 36 GB."""
        images = batch["image"].float().div_(127.5).sub_(1)
        if self.size == "full":
            images = F.interpolate(images, size=(SIDE["full"], SIDE["full"]), mode="bilinear", antialias=False)
        return model(pixel_values=images).logits
