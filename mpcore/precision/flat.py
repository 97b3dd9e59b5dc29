"""All weights of a dtype in one flat tensor: what is done to them goes over all at once (foreach), and to the optimiser
the model is one weight or two, which saves the launches and the bookkeeping of hundreds."""

from collections.abc import Mapping, Sequence

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
        that the loss does not reach has a gradient of zero."""
        assert self.whole.grad is not None
        before = self.whole.grad.clone() if add else None
        found = [torch.zeros_like(p) if p.grad is None else p.grad for p in self.parameters.values()]
        torch._foreach_copy_(list(self.gradients.values()), found)  # private API
        if before is not None:
            self.whole.grad.add_(before)
        for p in self.parameters.values():
            p.grad = None

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
        self.optimiser.step()
        for group in self.groups:
            group.scatter()
        self._gathered = False

    def clip(self) -> None:
        if self.max_norm is not None:
            nn.utils.clip_grad_norm_([g.whole for g in self.groups], self.max_norm, foreach=True)

    def weights(self) -> dict[str, Tensor]:
        return {name: master for g in self.groups for name, master in g.masters.items()}

    def gradients(self) -> dict[str, Tensor]:
        return {name: gradient for g in self.groups for name, gradient in g.gradients.items()}
