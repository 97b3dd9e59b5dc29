"""What is to be known of an optimiser before it is given flat weights, or captured in a graph."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

ParameterGroup = dict[str, Any]
"""As torch's optimisers take them: `params`, `lr`, `weight_decay`."""
OwnOptimiser = Callable[[list[ParameterGroup], Mapping[str, Tensor]], Optimizer]
"""What a workload makes of its parameter groups. The weights are given by name, too, for a sentence."""

ELEMENTWISE = (
    torch.optim.SGD,
    torch.optim.Adadelta,
    torch.optim.Adam,
    torch.optim.AdamW,
    torch.optim.Adamax,
    torch.optim.ASGD,
    torch.optim.NAdam,
    torch.optim.RAdam,
    torch.optim.RMSprop,
    torch.optim.Rprop,
)
"""To these a tensor is nothing but its entries, so that many may be one. A class that is not here, a subclass included, is
given the weights tensor by tensor. It may look at rows and columns, or at a tensor's norm."""
DENSE_ONLY = *(kind for kind in ELEMENTWISE if kind is not torch.optim.SGD), torch.optim.Adafactor
"""Of torch's, those without an update for sparse gradients."""
MOMENTS = {"step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer"}
"""What torch's optimisers call what they remember of gradients; a state may hold more, such as masters."""


@dataclass(frozen=True)
class WeightGroup:
    """Weights by name, and the factors of the recipe's learning rate and weight decay that they are trained with."""

    names: tuple[str, ...]
    rate: float = 1.0
    decay: float = 1.0


def as_real(tensor: Tensor) -> Tensor:
    """A complex tensor as pairs of real numbers, in the same memory; any other as it is."""
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor


def without_fused(weight: Tensor, optimiser: str) -> bool:
    """Whether the fused kernel of `optimiser` takes no such weight. SGD's takes no shards. On a CPU it leaves most entries of a
    16-bit one as they are (seen in torch 2.13)."""
    half_on_cpu = not weight.is_cuda and weight.element_size() == 2
    return weight.is_complex() or (optimiser == "SGD" and (half_on_cpu or isinstance(weight, DTensor)))


def sparse_weights(model: nn.Module) -> list[str]:
    """The names of those whose gradients are sparse."""
    tables = [(name, m) for name, m in model.named_modules() if isinstance(m, nn.Embedding | nn.EmbeddingBag)]
    return [f"{name}.weight".removeprefix(".") for name, m in tables if m.sparse and m.weight.requires_grad]


def refused(optimiser: Optimizer, weights: Mapping[str, Tensor], sparse: Sequence[str]) -> str | None:
    """Why `optimiser` cannot train a model with these weights, or None."""
    kind = type(optimiser).__name__
    if isinstance(optimiser, torch.optim.LBFGS):
        return "LBFGS asks for the loss several times a step, in a closure: expected an optimiser that takes gradients"
    if any("lr" not in group for group in optimiser.param_groups):
        return f"{kind} has a parameter group without 'lr', by which its learning rate is set"
    if sparse and type(optimiser) in DENSE_ONLY:
        return f"{kind} has no update for the sparse gradient of {sparse[0]}: expected SGD, or an Embedding with sparse=False"
    decaying = {id(p) for group in optimiser.param_groups if group.get("weight_decay") for p in group["params"]}
    if kind == "SGD" and (decayed := [name for name in sparse if id(weights[name]) in decaying]):
        return f"SGD has no weight decay for the sparse gradient of {decayed[0]}: expected weight_decay=0.0"
    return None


def keep_on_device(optimiser: Optimizer) -> None:
    """On a GPU the learning rate and the count of steps are moved there, where the optimiser knows to read them. A graph would
    freeze them on the host."""
    for group in optimiser.param_groups:
        if not group["params"] or not group["params"][0].is_cuda:
            continue
        if "capturable" in group:
            group["capturable"] = True
        elif not (isinstance(optimiser, torch.optim.SGD) and group["fused"]):  # which counts no steps
            continue
        group["lr"] = torch.as_tensor(group["lr"], dtype=torch.float32, device=group["params"][0].device).clone()


def saved(optimiser: Optimizer) -> dict[str, Any]:
    """Copies of its options and of what it remembers, group by group and weight by weight."""
    groups = optimiser.param_groups
    return {
        "options": [_copied({k: v for k, v in group.items() if k != "params"}) for group in groups],
        "state": [[_copied(optimiser.state.get(p, {})) for p in group["params"]] for group in groups],
        "shared": _copied(_shared(optimiser)),
    }


def load(optimiser: Optimizer, state: dict[str, Any]) -> bool:
    """Returns whether all tensors were there already and were filled in place, where a captured step reads them."""
    in_place = True
    for group, options, states in zip(optimiser.param_groups, state["options"], state["state"], strict=True):
        in_place &= _fill(group, options)
        for p, values in zip(group["params"], states, strict=True):
            if values:
                in_place &= _fill(optimiser.state[p], values)
            else:  # some ask whether a weight has a state, and not whether there is something in it
                in_place &= not optimiser.state.pop(p, None)
    return _fill_shared(optimiser, state["shared"]) and in_place


def _fill_shared(optimiser: Optimizer, values: Mapping[Any, Any]) -> bool:
    place = _shared(optimiser)
    for key in place.keys() - values.keys():
        del optimiser.state[key]
    within = {key for key, value in values.items() if isinstance(value, dict) and isinstance(place.get(key), dict)}
    filled = [_fill(place[key], values[key]) for key in within]
    flat = {key: value for key, value in place.items() if key not in within}
    filled.append(_fill(flat, {key: value for key, value in values.items() if key not in within}))
    optimiser.state.update(flat)  # tensors are the same, others new
    return all(filled)


def _shared(optimiser: Optimizer) -> dict[Any, Any]:
    """What it remembers of no weight, as a count for all."""
    return {key: value for key, value in optimiser.state.items() if not isinstance(key, Tensor)}


def forget(optimiser: Optimizer) -> None:
    """What it remembers of its steps becomes what it was before the first. In place, for captured steps."""
    for remembered in optimiser.state.values():
        for name in MOMENTS & remembered.keys():
            if isinstance(value := remembered[name], Tensor):
                value.zero_()


def _copied(values: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v.detach().clone() if isinstance(v, Tensor) else copy.deepcopy(v) for k, v in values.items()}


def _fill(place: dict[str, Any], values: Mapping[str, Any]) -> bool:
    same = {k for k, v in place.items() if isinstance(v, Tensor)} == {k for k, v in values.items() if isinstance(v, Tensor)}
    for key in place.keys() - values.keys() - {"params"}:
        del place[key]
    for key, value in _copied(values).items():
        if isinstance(value, Tensor) and isinstance(place.get(key), Tensor):
            place[key].copy_(value)
        else:
            place[key] = value
    return same


def skips_by_itself(optimiser: Optimizer) -> bool:
    """Whether its kernels take a loss scale and a flag of overflow as tensors, as the fused ones of torch do."""
    return getattr(optimiser, "_step_supports_amp_scaling", False)  # private API
