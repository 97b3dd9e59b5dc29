"""What a workload is: a model, data, a loss, a prediction, and a recipe. Four methods, not twenty."""

import copy
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mpcore.data import Batch, Source, Split
from mpcore.device.machine import SLOW_FP64
from mpcore.records import Confusion, Recipe, Size
from mpcore.registry import Registry
from mpcore.workloads.checked import WorkloadError, checked_data, described
from mpcore.workloads.entry import Entry
from mpcore.workloads.groups import Group
from mpcore.workloads.metrics import classification
from mpcore.workloads.own_step import OwnStep
from mpcore.workloads.own_step import mistake as own_mistake
from mpcore.workloads.schedule import warm_up_and_down
from mpcore.workloads.step_memory import StepMemory

BY_SIZE: dict[str, tuple[Any, str]] = {
    "recipes": (Recipe, "a Recipe"),
    "tolerances": (int | float, "points, such as 1.0"),
    "numerics_rows": (int, "how many samples, such as 16"),
}
"""Class attributes that have a value for each size: of what type, and in words."""


class Workload(Entry):
    """A model, its data, its loss and its recipe, which every mode trains in the same way. Subclasses set the class attributes,
    implement the four methods, and register:

        @workloads.register
        class BertImdb(Workload): ...

    A batch maps the names of columns to tensors of (samples, ...) on the model's device. What a method raises is told as one
    sentence with its line, a WorkloadError. None of the methods may wait for the device.
    """

    recipes: ClassVar[dict[Size, Recipe]]
    classes: ClassVar[int] = 0
    """Of a classification, for its metrics."""
    metric: ClassVar[str] = "accuracy"
    lower_is_better: ClassVar[bool] = False
    """Whether the metric is an error, such as a perplexity, and not a share of what was right."""
    tolerances: ClassVar[dict[Size, float]]
    """Points by which a mode's mean over three seeds may fall below FP32's; per cent of a metric that is better when it is
    lower."""
    step_memory: ClassVar[StepMemory | None] = None
    """What a step in FP32 holds at full size, which chooses the batch of size `fit`. Where it is not known that is the
    recipe's."""
    conditioning: ClassVar[float] = 64.0
    """How many round-offs a gradient may be away from its FP64 value. Normalisation over a batch magnifies errors."""
    numerics_rows: ClassVar[dict[Size, int]] = {"tiny": 16, "full": 32}
    """Samples of the batch that is computed in FP64 too."""
    kink_factor: ClassVar[float] = 0.0
    """The same, in roots of the round-off, which are added. In convolutional networks for large images many activations have a
    kink: the few that rounding puts on its other side carry most of the error."""
    update_noise: ClassVar[float] = 0.01
    """What chance may make of an update's error, as a share. Adam makes a whole update of a gradient near zero, whichever sign
    rounding gives it. Lost weights are off by 1."""
    keep_fp32: ClassVar[tuple[str, ...]] = ()
    """Patterns (as of fnmatch) of qualified module names that compute in FP32 in every mode, as routers and last layers may."""
    amp_must_beat: ClassVar[tuple[str, ...]] = ("fp32",)
    """The modes that mixed precision is expected to beat on a GPU in size full, where the host only starts a graph: "tf32",
    too, where a workload claims so."""
    eager_amp_must_beat: ClassVar[tuple[str, ...]] = ("fp32",)
    """The same where Python launches each kernel, and so may set the pace."""
    amp_not_faster_because: ClassVar[str] = ""
    """The reason where one of these is missing."""

    def __init__(self, size: Size, source: Source | None = None, checkpoint: str | None = None) -> None:
        super().__init__(size, source, checkpoint)
        self.fp32_modules: dict[str, tuple[str, ...]] = {}
        """By mode, which may patch the model: those that it computes in FP32 on purpose, once they are known."""
        self.mixes_formats: dict[tuple[str, tuple[str, ...]], bool] = {}
        """Whether the model makes tensors in FP32 inside, once that is known, by mode and by what is kept in FP32."""
        self._changed: dict[str, Any] = {}
        self._splits: dict[tuple[str, str], Split] = {}

    def with_batch_size(self, batch_size: int) -> "Workload":
        """The same workload, over the same data in memory, in batches of another size."""
        return self.with_recipe(batch_size=batch_size)

    def with_recipe(self, **fields: Any) -> "Workload":
        """The same workload, over the same data in memory, with these fields of its recipe."""
        other = copy.copy(self)
        other._changed = self._changed | fields
        return other

    @property
    def recipe(self) -> Recipe:
        """The recipe of the size, with what was asked for in its place."""
        recipe = self.recipes[self.size]
        return recipe.model_copy(update=self._changed) if self._changed else recipe

    @property
    def tolerance(self) -> float:
        """The tolerance of the size: points, or per cent of a metric that is better when it is lower."""
        return self.tolerances[self.size]

    @property
    def rows_per_batch(self) -> int:
        """Samples of a batch."""
        return self.recipe.batch_size

    @classmethod
    def fitting_batch(cls, memory_class: int) -> int:
        """The batch of size `fit` on a GPU of so many GB: the recipe's, or a smaller one."""
        size = cls.recipes["full"].batch_size
        return cls.step_memory.fitting(size, memory_class) if cls.step_memory else size

    @classmethod
    def compared_rows(cls, size: str, memory_class: int, fast_in_fp64: bool) -> int:
        """The samples that errors are measured on, in FP64, too, on a GPU of so many GB: fewer where FP64 is slow, and in size
        `fit` where memory is short."""
        rows = cls.numerics_rows["tiny" if size == "tiny" else "full"]
        if size != "tiny" and not fast_in_fp64:
            rows = max(1, rows // SLOW_FP64)
        return cls.step_memory.fitting_rows(rows, memory_class) if size == "fit" and cls.step_memory else rows

    @classmethod
    def compared_on_host(cls, size: str, memory_class: int) -> bool:
        """Whether what is compared is kept on the host there, so that size `fit` fits."""
        return size == "fit" and cls.step_memory is not None and cls.step_memory.compared_on_host(memory_class)

    def load(self) -> None:
        """Reads the training data. Raises DataError, WorkloadError."""
        self.split("train", torch.device("cpu"))

    @abstractmethod
    def build_model(self) -> nn.Module:
        """A new model with all weights in FP32, on the current default device, from the current seed or from
        `self.checkpoint`. `self.size` is "tiny" or "full"."""

    @abstractmethod
    def data(self, split: str) -> Split:
        """The "train" or the "test" split: columns of equally many samples, encoded, on the CPU. Raises DataError for
        data that cannot be had."""

    @abstractmethod
    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """The mean loss over the batch: a 0-dim tensor in FP32 or wider, that depends on the model. It calls `model(...)`."""

    @abstractmethod
    def predict(self, model: nn.Module, batch: Batch) -> Tensor:
        """(samples, ...): what is predicted for each sample of the batch, such as its class. Called without gradients."""

    def score(self, truth: Batch, predicted: Tensor) -> tuple[dict[str, float], Confusion | None]:
        """The metrics by name, and the confusion matrix where there is one: here those of a classification of the column
        `label`. `metric` is one of them, a share from 0 to 1, or above 0 where lower is better. Both arguments are on the CPU:
        `truth`, all columns of the test split, and `predicted`, a row for each of theirs. Raises WorkloadError where these are
        no classes."""
        for what, values in (("the column 'label'", truth.get("label")), ("what predict() returned", predicted)):
            if not _are_classes(values, self.classes):
                raise WorkloadError(
                    f"{self.name}: {what} is {described(values)}: expected a class from 0 to {self.classes - 1} for each "
                    "sample, or a score() of its own"
                )
        return classification(truth["label"].tolist(), predicted.tolist(), self.classes)

    def dummy_prediction(self, train: Split, test: Split) -> Tensor | None:
        """What is predicted for the test by someone who has not learnt to tell its samples apart, a row for each of them. Here
        it is the class that is most frequent in training. A training that is no better shows nothing. None where there is
        nothing of the kind."""
        label = train.columns.get("label")
        return label.mode().values.expand(len(test)) if self.classes and label is not None and label.dim() == 1 else None

    def groups(self, model: nn.Module) -> Sequence[Group]:
        """Parameter groups, with the factors of the recipe's learning rate and weight decay that they are trained with. Each
        weight that requires a gradient is in one of them: here all are in one. `model` is as `build_model` returned it."""
        return [Group(model.parameters())]

    def optimiser(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """The optimiser, where it is not the recipe's. `groups`: in the order of `groups()` and as torch's optimisers take
        them, with `params`, `lr` and `weight_decay`. A mode may hand its masters in FP32, of the same shapes. All that is in
        `params` is updated, and the schedule multiplies the rates that the optimiser has when it is returned."""
        raise NotImplementedError

    def schedule(self, step: int, steps: int) -> float:
        """The share of the recipe's learning rate for `step` of `steps`, counted from 1. Here it goes up over the first tenth
        of the steps, then down to zero, on straight lines."""
        return warm_up_and_down(step, steps)

    def augment(self, batch: Batch, generator: torch.Generator) -> Batch:
        """What a training makes of a batch before each step, on its device: here nothing. `generator`, of that device,
        depends on the seed alone, so that all modes see the same."""
        return batch

    def picture(self, batch: Batch, predicted: Tensor) -> Tensor | None:
        """The first sample beside what was predicted for it: a (height, width) tensor of uint8, grey. None where that is not
        worth looking at."""
        return None

    def split(self, name: str, device: torch.device) -> Split:
        """`data(name)` on `device`, made once. Raises DataError, WorkloadError."""
        key = (name, str(device))
        if key not in self._splits:
            cpu = torch.device("cpu")
            self._splits[key] = checked_data(self, name) if device == cpu else self.split(name, cpu).to(device)
        return self._splits[key]

    def training_split(self, name: str, device: torch.device) -> Split:
        """The "train" split that it is trained on to the end of its recipe, or the "test" split that it is tested with then.
        Steps are timed on `split`; here a workload may leave out what is padding in all samples."""
        return self.split(name, device)


def _are_classes(values: object, count: int) -> bool:
    if not isinstance(values, Tensor) or values.dim() != 1 or values.is_floating_point():
        return False
    return bool(((values >= 0) & (values < count)).all())


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """The mean cross-entropy of `logits` (samples, classes) and `labels` (samples), a 0-dim tensor in FP32 or wider. In 16 bits
    its sums of exponentials lose what they add up."""
    return F.cross_entropy(logits.float() if logits.element_size() < 4 else logits, labels)


def mistake(cls: type[Entry]) -> str | None:
    """What is wrong with the attributes, if anything is: said when the class is registered."""
    if issubclass(cls, OwnStep):
        return own_mistake(cls)
    assert issubclass(cls, Workload)
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


workloads = Registry("workload", Entry, mistake, "Workload or of OwnStep")
