"""What a workload is: a model, data, a loss, a prediction, and a recipe. Four methods, not twenty."""

import copy
import math
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from typing import Any, ClassVar, SupportsFloat

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mpcore.cause import told_as
from mpcore.data import Batch, DataError, Source, Split
from mpcore.metrics import classification
from mpcore.records import Confusion, Recipe, Size

BY_SIZE: dict[str, tuple[Any, str]] = {
    "recipes": (Recipe, "a Recipe"),
    "tolerances": (int | float, "points, such as 1.0"),
    "numerics_rows": (int, "how many samples, such as 16"),
}
"""Class attributes that have a value for each size: of what type, and in words."""


class WorkloadError(RuntimeError):
    """A workload whose methods fail, or return what they must not: one sentence that names the workload and the method."""


class Workload(ABC):
    """Subclasses set the class attributes, implement the four methods, and register:

        @workloads.register
        class BertImdb(Workload): ...

    source: where the data come from. checkpoint: a folder or hub id of pretrained weights, or None for random ones.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    """Raised by whoever changes what is measured: results of two versions are not compared."""
    unit: ClassVar[str]
    """What is counted, in the plural: "reviews", "images"."""
    recipes: ClassVar[dict[Size, Recipe]]
    classes: ClassVar[int] = 0
    """Of a classification, for its metrics."""
    metric: ClassVar[str] = "accuracy"
    lower_is_better: ClassVar[bool] = False
    """Whether the metric is an error, such as a perplexity, and not a share of what was right."""
    tolerances: ClassVar[dict[Size, float]]
    """Points by which a mode's mean over three seeds may fall below FP32's; per cent of a metric of which lower is better."""
    conditioning: ClassVar[float] = 64.0
    """How many round-offs a gradient may be away from its FP64 value. Normalisation over a batch magnifies errors."""
    numerics_rows: ClassVar[dict[Size, int]] = {"tiny": 16, "full": 32}
    """Samples of the batch that is computed in FP64 too."""
    flips: ClassVar[float] = 0.0
    """The same, in roots of the round-off, which are added: where many activations have a kink, as in convolutional networks
    for large images, the few that lie so close to it that rounding flips them carry most of the error."""
    update_noise: ClassVar[float] = 0.01
    """What chance may make of an update's error, as a share: Adam makes a whole update of a gradient near zero, whichever sign
    rounding gives it. Lost weights are off by 1."""
    synthetic: ClassVar[bool] = False
    """Random inputs: measured for speed, and only where it is named."""
    long_training: ClassVar[bool] = False
    """Trained to the end only on request."""
    amp_wins_over: ClassVar[tuple[str, ...]] = ("fp32", "tf32")
    """The modes than which mixed precision is expected to be faster on a GPU, where the host only starts a graph."""
    eager_amp_wins_over: ClassVar[tuple[str, ...]] = ("fp32", "tf32")
    """The same where Python launches each kernel, and so may set the pace."""
    why_not: ClassVar[str] = ""
    """The reason where these are not both."""

    def __init__(self, size: Size, source: Source | None = None, checkpoint: str | None = None) -> None:
        self.size = size
        self.source = source or Source()
        self._checkpoint = checkpoint
        self.reads_checkpoint = False
        self._batch_size: int | None = None
        self._splits: dict[tuple[str, str], Split] = {}

    @property
    def checkpoint(self) -> str | None:
        """Noted where it is read: a workload that never does cannot have been trained from it."""
        self.reads_checkpoint = True
        return self._checkpoint

    @classmethod
    def mistake(cls) -> str | None:
        """What is wrong with the attributes, if anything is: said when the class is registered."""
        for attribute, (kind, expected) in BY_SIZE.items():
            by_size = getattr(cls, attribute)
            if not isinstance(by_size, dict) or set(by_size) != {"tiny", "full"}:
                return f"{attribute} is {by_size!r:.80}: expected a value for 'tiny' and one for 'full'"
            for size, value in by_size.items():
                if not isinstance(value, kind):
                    return f"{attribute}[{size!r}] is {value!r:.80}: expected {expected}"
        if cls.score is Workload.score and cls.classes < 2:
            return f"classes is {cls.classes}: expected how many there are, 2 at least, or a score() of its own"
        return None

    def with_batch_size(self, batch_size: int) -> "Workload":
        """The same workload, over the same data in memory, in batches of another size."""
        other = copy.copy(self)
        other._batch_size = batch_size
        return other

    @property
    def recipe(self) -> Recipe:
        recipe = self.recipes[self.size]
        return recipe if self._batch_size is None else recipe.model_copy(update={"batch_size": self._batch_size})

    @property
    def tolerance(self) -> float:
        return self.tolerances[self.size]

    @property
    def units_per_sample(self) -> int:
        """How many of what is counted a sample of a batch is, as a sequence is of tokens."""
        return 1

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
        """(batch, ...): what is predicted for each sample, such as its class."""

    def score(self, truth: Batch, predicted: Tensor) -> tuple[dict[str, float], Confusion | None]:
        """The metrics by name, and the confusion matrix where there is one: here those of a classification of the column
        `label`. Both on the CPU: `truth`, all columns of the test split, and `predicted`, a row for each of theirs."""
        for what, values in (("the column 'label'", truth.get("label")), ("what predict() returned", predicted)):
            if not _are_classes(values, self.classes):
                raise WorkloadError(
                    f"{self.name}: {what} is {_described(values)}: expected a class from 0 to {self.classes - 1} for each "
                    "sample, or a score() of its own"
                )
        return classification(truth["label"].tolist(), predicted.tolist(), self.classes)

    def uninformed(self, train: Split, test: Split) -> Tensor | None:
        """What is predicted for the test by someone who has not learnt to tell its samples apart: here the class that is most
        frequent in training. A training that is no better shows nothing. None where there is nothing of the kind."""
        label = train.columns.get("label")
        return label.mode().values.expand(len(test)) if self.classes and label is not None and label.dim() == 1 else None

    def augment(self, batch: Batch, generator: torch.Generator) -> Batch:
        """What a training makes of a batch before each step, on its device: here nothing. `generator`, of that device,
        depends on the seed alone, so that all modes see the same."""
        return batch

    def picture(self, batch: Batch, predicted: Tensor) -> Tensor | None:
        """(height, width) bytes, grey: the first sample beside what was predicted for it, where that is worth looking at."""
        return None

    def split(self, name: str, device: torch.device) -> Split:
        """`data(name)` on `device`, made once. Raises DataError, WorkloadError."""
        key = (name, str(device))
        if key not in self._splits:
            cpu = torch.device("cpu")
            self._splits[key] = self._checked_data(name) if device == cpu else self.split(name, cpu).to(device)
        return self._splits[key]

    def _checked_data(self, name: str) -> Split:
        with self.telling("data"):
            split = self.data(name)
        if not isinstance(split, Split) or not len(split):
            raise WorkloadError(f"{self.name}: data({name!r}) returned {_described(split)}: expected a Split with samples")
        for column, values in split.columns.items():
            if values.device.type != "cpu":
                where = f"column {column!r} of data({name!r})"
                raise WorkloadError(f"{self.name}: {where} is on {values.device}: expected it on the CPU")
        return split

    def uninformed_score(self) -> float | None:
        """The metric of `uninformed`. Raises WorkloadError."""
        train, test = (self.split(name, torch.device("cpu")) for name in ("train", "test"))
        with self.telling("uninformed"):
            predicted = self.uninformed(train, test)
        return None if predicted is None else self.checked_score(test.columns, predicted)[0][self.metric]

    def telling(self, method: str) -> AbstractContextManager[None]:
        """Within it, what `method` raises becomes a WorkloadError. Memory that runs out is no mistake of its author's."""
        return told_as(WorkloadError, f"{self.name}: {method}()", DataError, torch.cuda.OutOfMemoryError)

    def checked_model(self) -> nn.Module:
        """`build_model`, once it is seen to be something that can be trained. Raises WorkloadError."""
        with self.telling("build_model"):
            model = self.build_model()
        if not isinstance(model, nn.Module):
            raise WorkloadError(f"{self.name}: build_model() returned {_described(model)}: expected an nn.Module")
        if not any(p.requires_grad for p in model.parameters()):
            raise WorkloadError(f"{self.name}: build_model() returned a model without weights that require a gradient")
        for name, weight in model.named_parameters():
            if weight.is_floating_point() and weight.dtype is not torch.float32:
                raise WorkloadError(
                    f"{self.name}: build_model() returned {name} in {weight.dtype}: expected all weights in FP32"
                )
        return model

    def checked_loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """`loss`, once it is seen to be one. Raises WorkloadError."""
        with self.telling("loss"):
            loss = self.loss(model, batch)
        if not isinstance(loss, Tensor) or loss.dim() or not loss.is_floating_point() or loss.element_size() < 4:
            expected = "the batch's mean, a 0-dim tensor in FP32 or wider"
            raise WorkloadError(f"{self.name}: loss() returned {_described(loss)}: expected {expected}")
        if not loss.requires_grad:
            raise WorkloadError(f"{self.name}: loss() returned a tensor that does not depend on the model's weights")
        return loss

    def checked_prediction(self, model: nn.Module, batch: Batch) -> Tensor:
        """`predict`, once it is seen to have a row for each sample. Raises WorkloadError."""
        with self.telling("predict"):
            predicted = self.predict(model, batch)
        rows = len(next(iter(batch.values())))
        if not isinstance(predicted, Tensor) or not predicted.dim() or len(predicted) != rows:
            raise WorkloadError(
                f"{self.name}: predict() returned {_described(predicted)}: expected a tensor of {rows} rows, one a sample"
            )
        return predicted

    def checked_batch(self, batch: Batch, generator: torch.Generator) -> Batch:
        """`augment`, once it is seen to be a batch. Raises WorkloadError."""
        with self.telling("augment"):
            found = self.augment(batch, generator)
        if not isinstance(found, dict) or not all(isinstance(column, Tensor) for column in found.values()):
            raise WorkloadError(f"{self.name}: augment() returned {_described(found)}: expected a batch, tensors by name")
        return found

    def checked_picture(self, batch: Batch, predicted: Tensor) -> Tensor | None:
        """`picture`, once it is seen to be one. Raises WorkloadError."""
        with self.telling("picture"):
            grey = self.picture(batch, predicted)
        if grey is not None and not (isinstance(grey, Tensor) and grey.dim() == 2 and grey.dtype is torch.uint8):
            raise WorkloadError(
                f"{self.name}: picture() returned {_described(grey)}: expected bytes, in two dimensions, or None"
            )
        return grey

    def checked_score(self, truth: Batch, predicted: Tensor) -> tuple[dict[str, float], Confusion | None]:
        """`score`, once `metric` is seen to be in it, and above 0 where ratios of it are compared. Raises WorkloadError."""
        with self.telling("score"):
            found = self.score(truth, predicted)
        if not isinstance(found, tuple) or len(found) != 2 or not isinstance(found[0], dict):
            expected = "the metrics by name, and a confusion matrix or None"
            raise WorkloadError(f"{self.name}: score() returned {_described(found)}: expected {expected}")
        if self.metric not in found[0]:
            names = ", ".join(found[0]) or "no metrics"
            raise WorkloadError(f"{self.name}: score() returned {names}: expected {self.metric!r} among them")
        for name, value in found[0].items():
            if not isinstance(value, SupportsFloat):
                raise WorkloadError(f"{self.name}: score() returned {name} {value!r:.60}: expected a number")
        with self.telling("score"):
            value = float(found[0][self.metric])
        if not (math.isnan(value) or (value > 0 if self.lower_is_better else value <= 1)):
            expected = (
                "above 0, for where lower is better ratios are compared" if self.lower_is_better else "a share, at most 1"
            )
            raise WorkloadError(f"{self.name}: score() returned {self.metric} {value:g}: expected {expected}")
        return found


def _are_classes(values: object, count: int) -> bool:
    if not isinstance(values, Tensor) or values.dim() != 1 or values.is_floating_point():
        return False
    return bool(((values >= 0) & (values < count)).all())


def _described(value: object) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)} and {value.dtype}"
    return "an empty Split" if isinstance(value, Split) else f"{type(value).__name__} {value!r:.60}"


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy, computed in FP32 or wider: in 16 bits its sums of exponentials lose what they add up."""
    return F.cross_entropy(logits.float() if logits.element_size() < 4 else logits, labels)
