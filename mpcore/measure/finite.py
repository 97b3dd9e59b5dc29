"""What is not finite, followed to the first place where it is not: a module, with the value that its format cannot hold."""

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves  # private API

from mpcore.data import Batch
from mpcore.measure.draws import same_numbers
from mpcore.measure.observation import SKIPS_ALLOWED, UPDATES, Observation
from mpcore.measure.setup import Setup
from mpcore.precision import precisions
from mpcore.training.of_workload import WorkloadStep
from mpcore.training.step import TrainStep

FORMATS = {torch.float16: "FP16", torch.bfloat16: "BF16", torch.float32: "FP32"}
GRADIENTS = ("gradient", "gradient of the output")


class Place(NamedTuple):
    """What of a module or a weight; its name, and the class of the module. The loss is of neither."""

    what: str
    name: str = ""
    layer: str = ""

    def __str__(self) -> str:
        return f"the {self.what} of {self.name or 'the model'} ({self.layer})" if self.layer else f"the {self.what}"


Look = Callable[[Place, list[Tensor]], None]


def floats(values: Any) -> list[Tensor]:
    """The floating-point tensors in any nesting of containers, detached. What torch.func puts in the place of one, as within a
    `vmap`, has no values to be looked at."""
    tensors = [x.detach() for x in tree_leaves(values) if isinstance(x, Tensor) and x.is_floating_point()]
    return [x for x in tensors if not torch._C._functorch.is_functorch_wrapped_tensor(x)]  # private API


def is_finite(observed: Observation) -> bool:
    """Whether all of it is a number, and the loss scale came to rest."""
    tensors = [*observed.gradients.values(), *observed.updates.values()]
    settled = math.isfinite(observed.loss) and observed.skipped < SKIPS_ALLOWED
    return settled and all(math.isfinite(tensor.norm()) for tensor in tensors)  # in one pass, and without a copy


def first_not_finite(setup: Setup, batch: Batch, learning_rate: float, loss_scale: float | None) -> str:
    """A sentence on the first place that is not finite in new steps of the case: its value in FP32, and what its format holds.

    loss_scale: what the scale had come to, so that no overflow is told that a smaller one cures.
    """
    name = setup.case.precision
    place = _followed(setup.train_step(dropout=False), batch, learning_rate, loss_scale)
    if place is None:
        return f"{name} has skipped its steps for gradients that are not finite, and none is where they are followed"
    scaled = f", scaled by {loss_scale:g}," if loss_scale is not None and place.what in GRADIENTS else ""
    largest = _in_fp32(setup, batch, place) * ((loss_scale or 1.0) if scaled else 1.0)
    limit = torch.finfo(precisions[name].dtype).max
    if not math.isfinite(largest):
        return f"{place}{scaled} is not finite in {name}, and not in FP32"
    if largest > limit:
        return f"{place}{scaled} is {_brief(largest)} in {name}, beyond {limit:.5g}, the most that {_format(name)} holds"
    return f"{place}{scaled} is not finite in {name}; in FP32 it is {_brief(largest)} at most"


def _followed(step: WorkloadStep, batch: Batch, learning_rate: float, loss_scale: float | None) -> Place | None:
    step.set_learning_rate(learning_rate)
    if loss_scale is not None and step.loss_scale is not None:
        step.loss_scale.fill_(loss_scale)
    found: list[Place] = []

    def look(place: Place, tensors: list[Tensor]) -> None:
        if not found and not all(bool(tensor.isfinite().all()) for tensor in tensors):
            found.append(place)

    with _watched(step, look), same_numbers(step):
        for _ in range(UPDATES):
            step.launch(batch)
            for name, weight in step.weights().items():
                look(Place("update", name, _layer(step.model, name)), [weight])
            if found:
                return found[0]
    return None


def _in_fp32(setup: Setup, batch: Batch, place: Place) -> float:
    """The largest number at `place`, of either sign; not finite where none is found."""
    step = TrainStep(setup.modelled, precisions["fp32"](), setup.device, seed=setup.case.seed, dropout=False)
    step.set_learning_rate(0.0)
    largest: list[float] = []

    def look(other: Place, tensors: list[Tensor]) -> None:
        if other == place:
            largest.extend(float(tensor.abs().max()) for tensor in tensors if tensor.numel())

    with _watched(step, look), same_numbers(step):
        step.launch(batch)
    return max(largest, key=lambda value: (math.isnan(value), value), default=math.nan)


@contextmanager
def _watched(step: WorkloadStep, look: Look) -> Iterator[None]:
    """Within it `look` is called as they come with what goes into each module, what comes out of it, and the loss. The
    gradients of outputs and weights follow."""

    def seen(place: Place, values: Any) -> None:
        look(place, floats(values))

    def watch(name: str, module: nn.Module) -> Iterator[Any]:
        layer = type(module).__name__

        def leaving(_: nn.Module, __: Any, output: Any) -> None:
            seen(Place("output", name, layer), output)
            for tensor in tree_leaves(output):
                if isinstance(tensor, Tensor) and tensor.requires_grad:
                    tensor.register_hook(lambda gradient: seen(Place("gradient of the output", name, layer), gradient))

        def entering(_: nn.Module, *given: Any) -> None:
            seen(Place("input", name, layer), given)

        yield module.register_forward_pre_hook(entering, with_kwargs=True)
        yield module.register_forward_hook(leaving)
        for own, weight in module.named_parameters(name, recurse=False):
            if weight.requires_grad:
                place = Place("gradient", own, layer)
                yield weight.register_hook(lambda gradient, place=place: seen(place, gradient))

    backward = step.precision.backward

    def with_loss(loss: Tensor) -> None:
        seen(Place("loss"), loss)
        backward(loss)

    with ExitStack() as stack:
        for name, module in step.model.named_modules():
            for hook in watch(name, module):
                stack.callback(hook.remove)
        vars(step.precision)["backward"] = with_loss
        stack.callback(vars(step.precision).pop, "backward")
        yield


def _layer(model: nn.Module, weight: str) -> str:
    return type(model.get_submodule(weight.rpartition(".")[0])).__name__


def _format(precision: str) -> str:
    dtype = precisions[precision].dtype
    return FORMATS.get(dtype, str(dtype).removeprefix("torch."))


def _brief(value: float) -> str:
    return f"{value:.2g}".replace("e+0", "e").replace("e+", "e")
