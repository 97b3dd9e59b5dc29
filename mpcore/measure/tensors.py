"""Errors tensor by tensor: a layer without any gradient is lost in a sum over all."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._pytree import tree_leaves  # private API

from mpcore.device.functions import FunctionMode
from mpcore.gate.limits import ROUNDING_ALONE
from mpcore.measure.observation import Observation
from mpcore.measure.requirements import tensor_gradient_limit, tensor_update_limit, variant_gradient_limit
from mpcore.measure.yardstick import RoundingErrors, Yardstick, tensor_errors
from mpcore.precision import Variant
from mpcore.records import TensorErrors
from mpcore.training.of_workload import WorkloadStep

EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)
SIDEWAYS = 0.1
"""Share of what is wrong with its length by which a gradient may also point elsewhere."""
LAYER_NORMS = (F.layer_norm, torch.layer_norm)


class NormsIn16Bits(FunctionMode):
    """with NormsIn16Bits() as norms: step.launch(batch)

    `weights` of the layer norms that are given 16 bits there. One that is kept in FP32 is not: what it is given was cast.
    """

    def __init__(self) -> None:
        super().__init__()
        self.weights: set[Tensor] = set()

    def call(self, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        if func in LAYER_NORMS:
            given, *weights = (x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor))
            if given.element_size() < 4:
                self.weights.update(weights)
        return func(*args, **kwargs)


def errors_by_tensor(
    step: WorkloadStep,
    observed: Observation,
    yardstick: Yardstick,
    rounding: RoundingErrors,
    update_error: float | None,
    norms_in_16_bits: Collection[Tensor] = (),
    in_base: Sequence[TensorErrors] | None = None,
) -> tuple[TensorErrors, ...]:
    """Of all tensors that the loss reaches, in the order of the forward pass. rounding: what it does alone, in the step's
    format. update_error: the cap of all updates together. norms_in_16_bits: see NormsIn16Bits. in_base: what the mode has that
    this one is a variant of."""
    norms = {name: float(gradient.norm()) for name, gradient in yardstick.observed.gradients.items()}
    whole = math.hypot(*norms.values()) or 1.0
    gradient_limits = _gradient_limits(step, norms, whole, rounding, norms_in_16_bits)
    base_errors = {
        t.name: t.gradient_error for t in in_base or () if t.name in gradient_limits and t.gradient_error is not None
    }
    if isinstance(step.precision, Variant):
        factor = step.precision.error_factor
        gradient_limits |= {
            name: variant_gradient_limit(error, rounding.gradients[name], factor) for name, error in base_errors.items()
        }
    update_limits = {name: tensor_update_limit(rounding.updates[name], update_error) for name in gradient_limits}
    gradient_errors = _errors_within(gradient_limits, observed.gradients, yardstick.observed.gradients)
    update_errors = _errors_within(update_limits, observed.updates, yardstick.observed.updates)
    too_far = [name for name, error in gradient_errors.items() if not error < min(gradient_limits[name], 1.0)]
    lengths = {
        name: length(observed.gradients[name], yardstick.observed.gradients[name])
        for name in too_far
        if name in observed.gradients
    }
    return tuple(
        TensorErrors(
            name=name,
            layer=layer,
            norm_share=float(f"{norms[name] / whole:.3g}"),
            gradient_error=_brief(gradient_errors.get(name)),
            gradient_limit=_brief(gradient_limits.get(name)),
            update_error=_brief(update_errors.get(name)),
            update_limit=_brief(update_limits.get(name)),
            base_error=base_errors.get(name),
            length=_brief(lengths.get(name)),
        )
        for name, layer in yardstick.layers.items()
        if name in norms
    )


def _gradient_limits(
    step: WorkloadStep,
    norms: Mapping[str, float],
    whole: float,
    rounding: RoundingErrors,
    norms_in_16_bits: Collection[Tensor],
) -> dict[str, float]:
    """Of the tensors that have a gradient, and more of it than rounding alone makes."""
    roundoff, summed = step.precision.roundoff(), set(_summed_in_format(step, norms_in_16_bits))
    kinks = _kinks(step, roundoff) * whole
    return {
        name: tensor_gradient_limit(
            rounding.gradients[name], roundoff, kinks=kinks / norms[name], summed_in_format=name in summed
        )
        for name in with_a_gradient(norms, roundoff)
        if rounding.gradients[name] < ROUNDING_ALONE
    }


def _errors_within(
    limits: Mapping[str, float | None], found: dict[str, Tensor], truth: Mapping[str, Tensor]
) -> dict[str, float]:
    """Of the tensors that have a limit."""
    return tensor_errors(found, {name: truth[name] for name, limit in limits.items() if limit is not None})


def _kinks(step: WorkloadStep, roundoff: float) -> float:
    """What the few activations that FP32 puts on the other side of their kink may do to the whole gradient, as a share of it.
    They are so few that runs with rounded results may see none; in 16 bits these see them all."""
    few = roundoff <= torch.finfo(torch.float32).eps
    return step.workload.kink_factor * math.sqrt(roundoff) if few else 0.0


def with_a_gradient(norms: Mapping[str, float], roundoff: float) -> Iterator[str]:
    """Those with more than the rounding of the others in their module: the bias of attention's keys has no other gradient."""
    largest: dict[str, float] = {}
    for name, norm in norms.items():
        module = name.rpartition(".")[0]
        largest[module] = max(norm, largest.get(module, 0.0))
    for name, norm in norms.items():
        if norm > roundoff * largest[name.rpartition(".")[0]]:
            yield name


def _summed_in_format(step: WorkloadStep, norms_in_16_bits: Collection[Tensor]) -> Iterator[str]:
    """The weights whose gradients a CPU adds up in 16 bits: of those in 16 bits vectors and embeddings, and of a LayerNorm that
    is given 16 bits any. Products are added up in FP32, and a GPU's sums are."""
    norms = set(norms_in_16_bits)
    for name, weight in step.model.named_parameters():
        module = step.model.get_submodule(name.rpartition(".")[0])
        low = weight.element_size() < 4 and (weight.dim() < 2 or isinstance(module, EMBEDDINGS))
        if weight.device.type == "cpu" and (low or weight in norms):
            yield name


def length(value: Tensor, truth: Tensor) -> float | None:
    """How many times as long as `truth` it is, where nothing else is wrong with it; None where something is, and for zeros."""
    value, truth = value.double().flatten(), truth.double().flatten()
    found = float(value @ truth / (truth @ truth))
    across = float((value - found * truth).norm() / truth.norm())
    return found if found > 0 and across < SIDEWAYS * abs(found - 1) else None


def _brief(value: float | None) -> float | None:
    """Three digits: a file holds thousands."""
    return None if value is None else float(f"{value:.3g}")
