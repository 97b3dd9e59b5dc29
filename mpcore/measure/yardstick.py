"""What the steps of a workload are held against: the same step in FP64, and what rounding alone does to it. Where FP64 cannot
run, the step in FP32."""

import copy
import functools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mpcore.data import Batch
from mpcore.gate.digits import told_apart
from mpcore.measure.draws import same_numbers
from mpcore.measure.magnitudes import Magnitudes
from mpcore.measure.observation import UPDATES, Observation, kept, observe
from mpcore.measure.rounded_runs import ROUNDINGS, rounded_runs
from mpcore.precision.optimisers import load, saved
from mpcore.training.buffers import Buffers
from mpcore.training.step import TrainStep
from mpcore.workloads.checked import checked_loss

CHOICES = 16
"""Runs with rounded results beyond the first `ROUNDINGS`, in which a model may choose otherwise. One choice that rounding makes
by an even chance goes both ways in all but 1 of 30,000 times. Of many choices at once no run may be alike."""
FAR_NEARER = 2.0
"""How many times nearer than FP64 a run is that has chosen otherwise. Without a choice the best of many is hardly nearer. Seen:
3.3 with one, 1.1 without."""
SAME_LOSS = 1e-9
"""Relative difference of two losses in FP64 that rounding makes."""

IN_FP32 = "FP64, the yardstick, cannot run it. Errors are against FP32 and may be larger by FP32's own"
NOT_JUDGED = "no tensor is judged for itself"
NO_ROUNDING = f"{NOT_JUDGED}, for the step does not run where its results are rounded"


@dataclass(frozen=True)
class RoundingErrors:
    """By tensor, relative: of its gradient, and of its first update. whole: of all gradients together."""

    gradients: dict[str, float]
    updates: dict[str, float]
    whole: float


@dataclass(frozen=True)
class UpdateRounding:
    """The same of all `UPDATES` updates together. whole: of all tensors that have a gradient at first."""

    tensors: dict[str, float]
    whole: float


class Yardstick:
    """What `step`, a new one in FP64 without dropout, does on `batch`.

    observed: its loss, gradients and updates. layers: by weight, in the order of the forward pass, the class of its module.
    remark: what is to be known of its random numbers, None where it draws none. Raises what a step raises.

    failure: why FP64 cannot run, where `step` is one in FP32. kept_on: where gradients, updates and the first weights are
    kept, None for the device of the step.
    """

    def __init__(self, step: TrainStep, batch: Batch, failure: str | None = None, kept_on: torch.device | None = None) -> None:
        self.failure = failure
        self.kept_on = kept_on or step.device
        self.reference = step.precision.name
        self._step = step
        self._batch = batch
        weights = [tensor for tensor in step.model.parameters() if tensor.requires_grad]
        self._start = {weight: kept(weight, self.kept_on) for weight in weights}
        self._buffers = Buffers(step.model)
        self._optimiser = saved(step.precision.optimiser)  # some fill their state as they are made
        with _called(step.model) as called:
            self.observed: Observation = observe(step, batch, kept_on=self.kept_on)
        self.layers = _layers(step.model, called)
        self.remark = random_loss(step, batch) if failure is None else f"{IN_FP32} ({failure})"
        self._rounding: dict[float, RoundingErrors] = {}
        self._rounded_updates: dict[float, UpdateRounding] = {}
        self._rest()

    @property
    def draws(self) -> bool:
        return self.remark is not None

    @property
    def on_host(self) -> bool:
        """Whether what is compared takes no memory of a GPU."""
        return self.kept_on.type == "cpu"

    @functools.cached_property
    def terms(self) -> float:
        """What the terms of the loss come to without their signs, which its error is a share of."""
        with Magnitudes() as magnitudes:
            return magnitudes.of(_loss(self._renewed(), self._batch, same=True))

    def rounding_errors(self, roundoff: float) -> RoundingErrors:
        """Of results that are rounded to a format: the root mean square over `ROUNDINGS` runs, which are run once. Raises what
        `rounded_runs` does."""
        if roundoff not in self._rounding:
            self._rounding[roundoff] = self._measured(roundoff)
        return self._rounding[roundoff]

    def rounding_of_updates(self, roundoff: float) -> UpdateRounding:
        """What rounding alone does to all updates together, where `rounding_errors` is of the first. They may come to little,
        where a gradient changes its sign on the way. It takes `ROUNDINGS` times as many steps. Raises what `rounded_runs`
        does."""
        if roundoff not in self._rounded_updates:
            truth = self.observed.updates
            tensors, wholes = self._rounded(
                roundoff, UPDATES, lambda run: (tensor_errors(run.updates, truth), self.update_error(run))
            )
            self._rounded_updates[roundoff] = UpdateRounding(_root_mean_squares(tensors), _root_mean_square(wholes))
        return self._rounded_updates[roundoff]

    def nearest(self, gradients: dict[str, Tensor], roundoff: float) -> "Yardstick | None":
        """The same with another truth: that of the run with rounded results whose gradients are nearest to these. None where
        that is not far nearer than FP64. A model may choose by its numbers, such as an expert or the hardest sample. Rounded
        numbers may choose otherwise, and one of so many runs has most likely made the same choice. Limits stay those of this
        yardstick. Raises what `rounded_runs` does."""
        seeds = range(ROUNDINGS, ROUNDINGS + CHOICES)
        (errors,) = self._rounded(roundoff, 1, lambda run: (relative_error(gradients, run.gradients),), seeds)
        found = [(error, seed) for error, seed in zip(errors, seeds, strict=True) if math.isfinite(error)]
        least, seed = min(found, default=(math.inf, 0))
        if not least < relative_error(gradients, self.observed.gradients) / FAR_NEARER:
            return None
        self.rounding_of_updates(roundoff)  # or it would be known of the other choice
        other = copy.copy(self)
        ((other.observed,),) = self._rounded(roundoff, UPDATES, lambda run: (run,), [seed])
        other.reference = f"rounded {self.reference}"
        return other

    def update_error(self, observed: Observation) -> float:
        """Of all updates that are judged. A weight whose gradient is nothing at first, as of one of two factors where the other
        is zero, has none that are: what comes to it later hangs on how far the others have moved, which is next to nothing."""
        reached = {name for name, gradient in self.observed.gradients.items() if gradient.any()}
        judged = {name: update for name, update in self.observed.updates.items() if name in reached}
        return relative_error(observed.updates, judged or self.observed.updates)

    def _measured(self, roundoff: float) -> RoundingErrors:
        truth, first = self.observed.gradients, self._first_updates
        gradients, wholes, updates = self._rounded(
            roundoff,
            1,
            lambda run: (*_errors(run.gradients, truth), tensor_errors(run.updates, first)),
        )
        return RoundingErrors(_root_mean_squares(gradients), _root_mean_squares(updates), _root_mean_square(wholes))

    def _rounded(
        self,
        roundoff: float,
        updates: int,
        errors: Callable[[Observation], tuple[Any, ...]],
        seeds: Sequence[int] | None = None,
    ) -> Iterable[Any]:
        """`errors` of each run whose results are rounded: all first ones together, then all second ones."""
        try:
            runs = rounded_runs(
                self._renewed,
                self._batch,
                roundoff,
                errors,
                learning_rate=self.observed.learning_rate,
                updates=updates,
                kept_on=self.kept_on,
                seeds=seeds,
            )
            return zip(*runs, strict=True)
        finally:
            self._rest()

    @functools.cached_property
    def _first_updates(self) -> dict[str, Tensor]:
        rate = self.observed.learning_rate
        return observe(self._renewed(), self._batch, updates=1, learning_rate=rate, kept_on=self.kept_on).updates

    def _renewed(self) -> TrainStep:
        """The step as it was when it was new: to build one takes longer than to run it."""
        with torch.no_grad():
            for tensor, value in self._start.items():
                tensor.copy_(value)
        self._buffers.put_back()
        self._rest()
        return self._step

    def _rest(self) -> None:
        """What a step makes anew, its gradients and what its optimiser remembers, takes no memory between two uses."""
        self._step.precision.optimiser.zero_grad(set_to_none=True)
        load(self._step.precision.optimiser, self._optimiser)


def whole_rounding(new: Callable[[], TrainStep], batch: Batch, roundoff: float, truth: dict[str, Tensor]) -> float:
    """The root mean square of how far the whole gradient of each of `rounded_runs` is from `truth`."""
    return _root_mean_square(rounded_runs(new, batch, roundoff, lambda run: relative_error(run.gradients, truth)))


def relative_error(values: dict[str, Tensor], truth: dict[str, Tensor]) -> float:
    """|values - truth| / |truth| over all tensors together; a tensor that is missing counts as zero."""
    return _errors(values, truth)[1]


def relative(difference: float, truth: float) -> float:
    """Nothing is infinitely far from 0."""
    return difference / truth if truth else math.inf if difference else 0.0


def tensor_errors(values: dict[str, Tensor], truth: dict[str, Tensor]) -> dict[str, float]:
    """|value - truth| / |truth| of each tensor; one that is missing counts as zero. Infinite where it should be nothing, and
    is not."""
    return _errors(values, truth)[0]


def _errors(values: dict[str, Tensor], truth: dict[str, Tensor]) -> tuple[dict[str, float], float]:
    """Of each tensor, and of all together."""
    wrong = _distances(values, truth)
    norms = {name: float(true.norm()) for name, true in truth.items()}
    each = {name: relative(wrong[name], norm) for name, norm in norms.items()}
    return each, relative(math.hypot(*wrong.values()), math.hypot(*norms.values()))


def _distances(values: dict[str, Tensor], truth: dict[str, Tensor]) -> dict[str, float]:
    """All differences take their turns in one place: on a host, to ask for new memory takes three times as long as the rest."""
    largest = max(truth.values(), key=Tensor.numel, default=torch.empty(0))
    room = largest.new_empty(largest.numel())

    def distance(value: Tensor, true: Tensor) -> float:
        return float(torch.sub(value, true, out=room[: true.numel()].view(true.shape)).norm())

    return {name: distance(values[name], true) if name in values else float(true.norm()) for name, true in truth.items()}


def random_loss(step: TrainStep, batch: Batch) -> str | None:
    """What is to be said of a loss that is random without dropout, as two losses in FP64 tell; None of any other."""
    step.precision.set_learning_rate(0.0)
    first, second = _loss(step, batch, same=True).item(), _loss(step, batch, same=False).item()
    if not (math.isfinite(first) and math.isfinite(second)) or math.isclose(first, second, rel_tol=SAME_LOSS):
        return None
    third = _loss(step, batch, same=True).item()
    repeats = math.isclose(first, third, rel_tol=SAME_LOSS)
    one, other = told_apart(first, second if repeats else third, ".6g", ".6g")
    differ = f"its loss is random without dropout: two in FP64, on one batch and from the same weights, are {one} and {other}"
    if repeats:
        return f"{differ}. Every format was given the same random numbers, in steps that Python launched"
    return (
        f"{differ}. The generators of torch, NumPy and Python started from one seed, so it draws elsewhere, or "
        "remembers earlier steps. All errors hold that, too"
    )


def _loss(step: TrainStep, batch: Batch, *, same: bool) -> Tensor:
    """same: whether the generators start from the seed. What the model remembers in its buffers is put back."""
    buffers = Buffers(step.model)
    with same_numbers(step) if same else nullcontext(), step.settings(), step.precision.forward():
        step.before_loss()
        loss = checked_loss(step.workload, step.model, batch).detach()
    buffers.put_back()
    return loss


@contextmanager
def _called(model: nn.Module) -> Iterator[dict[str, None]]:
    """Within it the names of modules are gathered in the order in which they are first called."""
    names: dict[str, None] = {}

    def noting(name: str) -> Callable[..., None]:
        return lambda *_: names.setdefault(name)

    hooks: list[Any] = [module.register_forward_pre_hook(noting(name)) for name, module in model.named_modules()]
    try:
        yield names
    finally:
        for hook in hooks:
            hook.remove()


def _layers(model: nn.Module, called: dict[str, None]) -> dict[str, str]:
    """A weight whose module is not called itself stands where the module around it does."""
    places = {name: place for place, name in enumerate(called)}

    def place(weight: str) -> int:
        around = weight
        while around and (around := around.rpartition(".")[0]) not in places:
            pass
        return places.get(around, 0)

    weights = [name for name, weight in model.named_parameters() if weight.requires_grad]
    return {name: type(model.get_submodule(name.rpartition(".")[0])).__name__ for name in sorted(weights, key=place)}


def _root_mean_squares(runs: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: _root_mean_square([run[name] for run in runs]) for name in runs[0]}


def _root_mean_square(values: Sequence[float]) -> float:
    return math.sqrt(sum(value**2 for value in values) / len(values))
