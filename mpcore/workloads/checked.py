"""What checks a workload: each of its methods is called here, and what it returns is seen to be what it must be.

Every function raises WorkloadError: one sentence that names the workload, the method, what it returned and what was expected.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Protocol, SupportsFloat
from weakref import WeakSet

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm  # private API
from torch.nn.parameter import UninitializedParameter

from mpcore.data import Batch, DataError, Split
from mpcore.errors import Sentence, reraised_as, root_cause, sentences
from mpcore.records import Confusion, Recipe
from mpcore.workloads.groups import Group

HALVES = (torch.float16, torch.bfloat16)
IN_HALVES = re.compile("Half|BFloat16")
"""How torch calls these formats where operands differ."""
_widened: "WeakSet[nn.Module]" = WeakSet()
"""Models that `build_model` returned with frozen weights in 16 bits."""


class WorkloadError(Sentence):
    """A workload whose methods fail, or return what they must not: one sentence that names the workload and the method."""


class Authored(Protocol):
    """The methods and attributes that the author of a workload has written."""

    name: ClassVar[str]
    metric: ClassVar[str]
    lower_is_better: ClassVar[bool]

    @property
    def recipe(self) -> Recipe: ...
    def build_model(self) -> nn.Module: ...
    def data(self, split: str) -> Split: ...
    def loss(self, model: nn.Module, batch: Batch) -> Tensor: ...
    def predict(self, model: nn.Module, batch: Batch) -> Tensor: ...
    def score(self, truth: Batch, predicted: Tensor) -> tuple[dict[str, float], Confusion | None]: ...
    def dummy_prediction(self, train: Split, test: Split) -> Tensor | None: ...
    def groups(self, model: nn.Module) -> Sequence[Group]: ...
    def optimiser(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer: ...
    def schedule(self, step: int, steps: int) -> float: ...
    def augment(self, batch: Batch, generator: torch.Generator) -> Batch: ...
    def picture(self, batch: Batch, predicted: Tensor) -> Tensor | None: ...
    def split(self, name: str, device: torch.device) -> Split: ...


def checked_model(workload: Authored) -> nn.Module:
    """`build_model`, once it is seen to be something that can be trained. Frozen weights in 16 bits, such as those beside
    low-rank ones, are widened with all buffers, which is exact. Raises WorkloadError."""
    with reraised(workload, "build_model"):
        model = workload.build_model()
    if not isinstance(model, nn.Module):
        raise WorkloadError(f"{workload.name}: build_model() returned {described(model)}: expected an nn.Module")
    if not any(p.requires_grad for p in model.parameters()):
        raise WorkloadError(f"{workload.name}: build_model() returned a model without weights that require a gradient")
    for name, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            whose = f"{name or 'the model'} ({getattr(module, 'original_name', 'ScriptModule')})"
            expected = "no module in it can be seen or cast: expected the nn.Module, without torch.jit.script or trace"
            raise WorkloadError(f"{workload.name}: {whose} is TorchScript, and {expected}")
    if any(isinstance(p, UninitializedParameter) for p in model.parameters()):
        _materialise(workload, model)
    _widen(model)
    for name, weight in model.named_parameters():
        if weight.dtype not in (torch.float32, torch.complex64) and (weight.is_floating_point() or weight.is_complex()):
            expected = "all weights in FP32, or in complex64: a mode casts them; frozen ones in 16 bits are widened"
            raise WorkloadError(f"{workload.name}: build_model() returned {name} in {weight.dtype}: expected {expected}")
    return model


def _widen(model: nn.Module) -> None:
    narrow = [p for p in model.parameters() if p.dtype in HALVES and not p.requires_grad]
    if narrow:
        _widened.add(model)
        for tensor in (*narrow, *(b for b in model.buffers() if b.dtype in HALVES)):
            tensor.data = tensor.data.float()


def _materialise(workload: Authored, model: nn.Module) -> None:
    """One forward pass gives lazy layers their weights. Raises WorkloadError where it leaves one out."""
    lazy = next(p for p in model.parameters() if isinstance(p, UninitializedParameter))
    with torch.device("cpu"):  # where data are made, whatever the model's device is
        split = workload.split("train", torch.device("cpu"))
    batch = split.rows_on(lazy.device, slice(workload.recipe.batch_size))
    with reraised(workload, "loss"), torch.no_grad():
        workload.loss(model, batch)
    for name, weight in model.named_parameters():
        if isinstance(weight, UninitializedParameter):
            raise WorkloadError(
                f"{workload.name}: {name} has no size, for loss() on the first batch does not reach its lazy layer: "
                "expected build_model() to give it one"
            )


def checked_groups(workload: Authored, model: nn.Module) -> list[tuple[tuple[str, ...], float, float]]:
    """For each group the names of its weights and the factors of rate and decay. Each weight has been seen to be in one group.
    Raises WorkloadError."""
    names = {id(p): name for name, p in model.named_parameters()}
    found: list[tuple[tuple[str, ...], float, float]] = []
    with reraised(workload, "groups"):
        groups = list(workload.groups(model))
        for group in groups:
            expected = "a Group(parameters, rate=1.0, decay=1.0)"
            _expect(workload, "groups", isinstance(group, Group), group, expected)
            parameters = list(dict.fromkeys(group.parameters))
            for p in parameters:
                _expect(workload, "groups", id(p) in names, p, "parameters of the model in its groups")
            for factor in (group.rate, group.decay):
                good = isinstance(factor, int | float) and 0 <= factor < math.inf
                _expect(workload, "groups", good, factor, "factors of rate and decay from 0")
            found.append((tuple(names[id(p)] for p in parameters if p.requires_grad), group.rate, group.decay))
    times = Counter(name for trained, *_ in found for name in trained)
    for name, p in model.named_parameters():
        if p.requires_grad and times[name] != 1:
            where = f"{name} in {times[name] or 'no'} groups"
            raise WorkloadError(f"{workload.name}: groups() returned {where}: expected each weight in one")
    return found


def _expect(workload: Authored, method: str, good: bool, found: object, expected: str) -> None:
    if not good:
        raise WorkloadError(f"{workload.name}: {method}() returned {described(found)}: expected {expected}")


def checked_optimiser(workload: Authored, groups: list[dict[str, Any]], weights: Mapping[str, Tensor]) -> torch.optim.Optimizer:
    """`optimiser`, once it is seen to update each of the weights, which are given by name. Raises WorkloadError."""
    with reraised(workload, "optimiser"):
        optimiser = workload.optimiser(groups)
    if not isinstance(optimiser, torch.optim.Optimizer):
        raise WorkloadError(
            f"{workload.name}: optimiser() returned {described(optimiser)}: expected an optimiser of torch.optim"
        )
    times = Counter(id(p) for group in optimiser.param_groups for p in group["params"])
    for name, weight in weights.items():
        if times[id(weight)] != 1:
            where = f"with {name} in {times[id(weight)] or 'no'} parameter groups"
            raise WorkloadError(f"{workload.name}: optimiser() returned one {where}: expected each weight in one")
    return optimiser


def checked_share(workload: Authored, step: int, steps: int) -> float:
    """`schedule`, once it is seen to be a share of the learning rate. Raises WorkloadError."""
    with reraised(workload, "schedule"):
        share = workload.schedule(step, steps)
    if not isinstance(share, SupportsFloat) or not math.isfinite(share) or float(share) < 0:
        raise WorkloadError(
            f"{workload.name}: schedule({step}, {steps}) returned {share!r:.60}: expected a share of the learning rate, from 0"
        )
    return float(share)


def check_last_batch(workload: Authored, ranks: int = 1) -> None:
    """Raises WorkloadError where a batch of an epoch, or a part of one, has one row. A BatchNorm of the model has no statistics
    of one. ranks: that share each batch."""
    recipe, rows = workload.recipe, len(workload.split("train", torch.device("cpu")))
    last = 0 if recipe.drop_last else rows % recipe.batch_size
    batches = [-(-size // ranks) for size in (recipe.batch_size, last) if size]
    parts = {size: -(-size // recipe.accumulation) for size in batches}
    if not any(part == 1 or size % part == 1 for size, part in parts.items()):
        return
    model = checked_model(workload)
    norm = next((name for name, m in model.named_modules() if isinstance(m, _BatchNorm) and m.training), None)
    one = workload.split("train", torch.device("cpu")).rows_on(next(model.parameters()).device, slice(1))
    try:
        with reraised(workload, "loss"), torch.no_grad():
            if norm is not None:
                workload.loss(model, one)
    except WorkloadError as error:
        if "more than 1 value per channel" not in str(root_cause(error)):
            return  # which a step will say
        of = "batch" if recipe.accumulation == 1 else "part of a batch"
        row = "one row" if ranks == 1 else f"one row for each of {ranks} GPUs"
        raise WorkloadError(
            f"{workload.name}: data('train') has {rows} rows, and its last {of} has {row}. The BatchNorm {norm!r} takes no "
            f"statistics of one: expected drop_last=True in its Recipe, or a batch_size other than {recipe.batch_size}"
        ) from error


def checked_data(workload: Authored, name: str) -> Split:
    with reraised(workload, "data"):
        split = workload.data(name)
    if not isinstance(split, Split) or not len(split):
        raise WorkloadError(f"{workload.name}: data({name!r}) returned {described(split)}: expected a Split with samples")
    for column, values in split.columns.items():
        if values.device.type != "cpu":
            where = f"column {column!r} of data({name!r})"
            raise WorkloadError(f"{workload.name}: {where} is on {values.device}: expected it on the CPU")
    return split


def checked_loss(workload: Authored, model: nn.Module, batch: Batch) -> Tensor:
    """`loss`, once it is seen to be one. Raises WorkloadError."""
    try:
        with reraised(workload, "loss"):
            loss = workload.loss(model, batch)
    except WorkloadError as error:
        if model not in _widened or not IN_HALVES.search(str(error)):
            raise
        why = "frozen weights that build_model() returns in 16 bits have the mode's format: expected casts to weight.dtype"
        raise WorkloadError(sentences(str(error), why)) from error
    if not isinstance(loss, Tensor) or loss.dim() or not loss.is_floating_point() or loss.element_size() < 4:
        expected = "the batch's mean, a 0-dim tensor in FP32 or wider"
        if isinstance(loss, Tensor) and loss.is_floating_point() and not loss.dim():
            expected += ", computed from logits.float()"
        raise WorkloadError(f"{workload.name}: loss() returned {described(loss)}: expected {expected}")
    if not loss.requires_grad:
        raise WorkloadError(f"{workload.name}: loss() returned a tensor that does not depend on the model's weights")
    return loss


def checked_prediction(workload: Authored, model: nn.Module, batch: Batch) -> Tensor:
    """`predict`, once it is seen to have a row for each sample. Raises WorkloadError."""
    with reraised(workload, "predict"):
        predicted = workload.predict(model, batch)
    rows = len(Split(batch))
    if not isinstance(predicted, Tensor) or not predicted.dim() or len(predicted) != rows:
        raise WorkloadError(
            f"{workload.name}: predict() returned {described(predicted)}: expected a tensor of {rows} rows, one a sample"
        )
    return predicted


def checked_batch(workload: Authored, batch: Batch, generator: torch.Generator) -> Batch:
    """`augment`, once it is seen to be a batch. Raises WorkloadError."""
    with reraised(workload, "augment"):
        found = workload.augment(batch, generator)
    if not isinstance(found, dict) or not all(isinstance(column, Tensor) for column in found.values()):
        raise WorkloadError(f"{workload.name}: augment() returned {described(found)}: expected a batch, tensors by name")
    return found


def checked_picture(workload: Authored, batch: Batch, predicted: Tensor) -> Tensor | None:
    """`picture`, once it is seen to be one. Raises WorkloadError."""
    with reraised(workload, "picture"):
        grey = workload.picture(batch, predicted)
    if grey is not None and not (isinstance(grey, Tensor) and grey.dim() == 2 and grey.dtype is torch.uint8):
        raise WorkloadError(
            f"{workload.name}: picture() returned {described(grey)}: expected bytes, in two dimensions, or None"
        )
    return grey


def checked_score(workload: Authored, truth: Batch, predicted: Tensor) -> tuple[dict[str, float], Confusion | None]:
    """`score`, once `metric` is seen to be in it, and above 0 where ratios of it are compared. Raises WorkloadError."""
    with reraised(workload, "score"):
        found = workload.score(truth, predicted)
    if not isinstance(found, tuple) or len(found) != 2 or not isinstance(found[0], dict):
        expected = "the metrics by name, and a confusion matrix or None"
        raise WorkloadError(f"{workload.name}: score() returned {described(found)}: expected {expected}")
    if workload.metric not in found[0]:
        names = ", ".join(found[0]) or "no metrics"
        raise WorkloadError(f"{workload.name}: score() returned {names}: expected {workload.metric!r} among them")
    for name, value in found[0].items():
        if not isinstance(value, SupportsFloat):
            raise WorkloadError(f"{workload.name}: score() returned {name} {value!r:.60}: expected a number")
    with reraised(workload, "score"):
        value = float(found[0][workload.metric])
    if not (math.isnan(value) or (value > 0 if workload.lower_is_better else value <= 1)):
        expected = (
            "above 0, for where lower is better ratios are compared" if workload.lower_is_better else "a share, at most 1"
        )
        raise WorkloadError(f"{workload.name}: score() returned {workload.metric} {value:g}: expected {expected}")
    return found


def dummy_score(workload: Authored) -> float | None:
    """The metric of `dummy_prediction`; None where there is none. Raises WorkloadError."""
    train, test = (workload.split(name, torch.device("cpu")) for name in ("train", "test"))
    with reraised(workload, "dummy_prediction"):
        predicted = workload.dummy_prediction(train, test)
    return None if predicted is None else checked_score(workload, test.columns, predicted)[0][workload.metric]


def reraised(workload: Authored, method: str) -> AbstractContextManager[None]:
    """Within it, what `method` raises becomes a WorkloadError. Memory that runs out is no mistake of its author's."""
    return reraised_as(WorkloadError, f"{workload.name}: {method}()", DataError, torch.cuda.OutOfMemoryError)


def described(value: object) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)} and {value.dtype}"
    if isinstance(value, Split):
        return "an empty Split"
    if isinstance(value, dict) and any(isinstance(each, Tensor) for each in value.values()):
        return f"a {type(value).__name__} with tensors: {', '.join(map(repr, value)):.60}"
    return f"{type(value).__name__} {value!r:.60}"
