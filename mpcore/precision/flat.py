"""All weights of a dtype in one flat tensor: what is done to them goes over all at once (foreach), and to the optimiser
the model is one weight or two, which saves the launches and the bookkeeping of hundreds."""

import copy
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mpcore.precision.base import Precision
from mpcore.records import Recipe

ALIGNMENT = 64
"""Elements: so that every part starts where vectorised kernels may read, at a multiple of 128 bytes."""


def flat(like: Sequence[Tensor], dtype: torch.dtype) -> tuple[Tensor, list[Tensor]]:
    """A tensor of zeros, and views into it, one for each tensor of `like` and with its strides in memory: a copy between two
    memory formats is a slow one, and one launch a weight."""
    padded = [-(-t.numel() // ALIGNMENT) * ALIGNMENT for t in like]
    whole = torch.zeros(sum(padded), dtype=dtype, device=like[0].device)
    parts, start = [], 0
    for tensor, size in zip(like, padded, strict=True):
        parts.append(whole.as_strided(tensor.shape, torch.empty_like(tensor, device="meta").stride(), start))
        start += size
    return whole, parts


class Group:
    """Parameters of one dtype, and in `dtype` what the optimiser updates in their place: copies, or, `shared`, themselves."""

    def __init__(self, parameters: Mapping[str, Tensor], dtype: torch.dtype, *, shared: bool) -> None:
        self.parameters = dict(parameters)
        values = list(parameters.values())
        self.shared = shared
        self.joined = True
        """Whether to the optimiser all are one weight, `whole`."""
        self.unreached: set[str] = set()
        """Those that no part of the last batch has reached."""
        self.whole, masters = flat(values, dtype)
        self.whole.grad, gradients = flat(values, dtype)
        self.masters = dict(zip(parameters, masters, strict=True))
        self.gradients = dict(zip(parameters, gradients, strict=True))
        for master, parameter in zip(masters, values, strict=True):
            master.copy_(parameter.detach())
            if shared:
                parameter.data = master

    @torch.no_grad()
    def gather(self, *, add: bool) -> None:
        """Moves the parameters' gradients to the masters', to which they are added or in whose place they are put. A weight
        that the loss does not reach has a gradient of zero, and is in `unreached` if no part of the batch reaches it."""
        assert self.whole.grad is not None
        missing = {name for name, p in self.parameters.items() if p.grad is None}
        self.unreached = self.unreached & missing if add else missing
        before = self.whole.grad.clone() if add else None
        found = [torch.zeros_like(p) if p.grad is None else p.grad for p in self.parameters.values()]
        torch._foreach_copy_(list(self.gradients.values()), found)  # private API
        if before is not None:
            self.whole.grad.add_(before)
        for p in self.parameters.values():
            p.grad = None

    def offer(self, optimiser: torch.optim.Optimizer) -> None:
        """Gives `optimiser` the gradients, None where the loss reached nothing: so it leaves a weight and its state alone. What
        is one tensor has one state and one count of steps, and is taken apart for good where a weight is not reached."""
        if self.joined and self.unreached:
            self._take_apart(optimiser)
        if not self.joined:
            for name, master in self.masters.items():
                master.grad = None if name in self.unreached else self.gradients[name]

    def _take_apart(self, optimiser: torch.optim.Optimizer) -> None:
        """The same memory, tensor by tensor, and the state with it."""
        self.joined = False
        for group in optimiser.param_groups:
            own = [self.masters.values() if p is self.whole else (p,) for p in group["params"]]
            group["params"] = [p for parts in own for p in parts]
        for key, value in optimiser.state.pop(self.whole, {}).items():
            for master in self.masters.values():
                optimiser.state[master][key] = self._part_of(value, master)

    def _part_of(self, value: Any, master: Tensor) -> Any:
        if not isinstance(value, Tensor):
            return copy.copy(value)
        if value.shape != self.whole.shape:  # such as the count of steps, which each has for itself now
            return value.clone()
        return value.as_strided(master.shape, master.stride(), master.storage_offset())

    @torch.no_grad()
    def scatter(self) -> None:
        """Copies the masters back into the parameters."""
        if not self.shared:
            torch._foreach_copy_(list(self.parameters.values()), list(self.masters.values()))  # private API


class FlatWeights(Precision):
    """A mode whose weights are in `groups`."""

    groups: list[Group]

    def update_in_place_of(self, groups: Sequence[Group], model: nn.Module, recipe: Recipe) -> None:
        """Called last by `prepare`."""
        self.model = model
        self.groups = list(groups)
        self.optimiser = self.build_optimiser([g.whole for g in groups], recipe)
        self._gathered = False

    def backward(self, loss: Tensor) -> None:
        loss.backward()
        for group in self.groups:
            group.gather(add=self._gathered)
        self._gathered = True

    def update(self) -> None:
        self.clip()
        for group in self.groups:
            group.offer(self.optimiser)
        self.optimiser.step()
        for group in self.groups:
            group.scatter()
        self._gathered = False

    def clip(self) -> None:
        if self.max_norm is not None:
            nn.utils.clip_grad_norm_([g.whole for g in self.groups], self.max_norm, foreach=True)

    @property
    def layout(self) -> Hashable:
        return tuple(group.joined for group in self.groups)

    def weights(self) -> dict[str, Tensor]:
        return {name: master for g in self.groups for name, master in g.masters.items()}

    def gradients(self) -> dict[str, Tensor]:
        return {name: gradient for g in self.groups for name, gradient in g.gradients.items() if name not in g.unreached}
