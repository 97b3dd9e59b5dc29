"""What a workload is: a model, data, a loss, a prediction, and a recipe. Four methods, not twenty."""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mpcore.data import Batch, Source, Split
from mpcore.metrics import classification
from mpcore.records import Confusion, Recipe, Size


class Workload(ABC):
    """Subclasses set the class attributes, implement the four methods, and register:

        @workloads.register
        class BertImdb(Workload): ...

    source: where the data come from. checkpoint: a folder or hub id of pretrained weights, or None for random ones.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    """Raised by whoever changes what is measured: results of two versions are not compared."""
    classes: ClassVar[int]
    synthetic: ClassVar[bool] = False
    """Random inputs: measured for speed, and only where it is named."""
    unit: ClassVar[str]
    """What a sample is, in the plural: "reviews", "images"."""
    recipes: ClassVar[dict[Size, Recipe]]
    metric: ClassVar[str] = "accuracy"
    tolerances: ClassVar[dict[Size, float]]
    """Points by which a mode's mean over three seeds may fall below FP32's."""
    conditioning: ClassVar[float] = 64.0
    """How many round-offs a gradient may be away from its FP64 value. Normalisation over a batch and kinked activations,
    whose masks flip, magnify errors."""
    amp_wins_over: ClassVar[tuple[str, ...]] = ("fp32", "tf32")
    """The modes than which mixed precision is expected to be faster on a GPU, where the host only starts a graph."""
    eager_amp_wins_over: ClassVar[tuple[str, ...]] = ("fp32", "tf32")
    """The same where Python launches each kernel, and so may set the pace."""
    why_not: ClassVar[str] = ""
    """The reason where these are not both."""

    def __init__(self, size: Size, source: Source | None = None, checkpoint: str | None = None) -> None:
        self.size = size
        self.source = source or Source()
        self.checkpoint = checkpoint
        self._splits: dict[tuple[str, str], Split] = {}

    @property
    def recipe(self) -> Recipe:
        return self.recipes[self.size]

    @abstractmethod
    def build_model(self) -> nn.Module:
        """The model in FP32, on the current default device, from the current seed, or from the checkpoint."""

    @abstractmethod
    def data(self, split: str) -> Split:
        """The "train" or the "test" split, encoded, on the CPU. Raises DataError."""

    @abstractmethod
    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """The mean loss over the batch, a 0-dim tensor."""

    @abstractmethod
    def predict(self, model: nn.Module, batch: Batch) -> Tensor:
        """(batch,): what is predicted for each sample, such as its class."""

    def score(self, truth: Tensor, predicted: Tensor) -> tuple[dict[str, float], Confusion | None]:
        """The metrics by name, and the confusion matrix where there is one: here those of a classification."""
        return classification(truth.tolist(), predicted.tolist(), self.classes)

    def split(self, name: str, device: torch.device) -> Split:
        """`data(name)` on `device`, made once."""
        key = (name, str(device))
        if key not in self._splits:
            self._splits[key] = self.data(name).to(device)
        return self._splits[key]


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy, computed in FP32 or wider: in 16 bits its sums of exponentials lose what they add up."""
    return F.cross_entropy(logits.float() if logits.element_size() < 4 else logits, labels)
