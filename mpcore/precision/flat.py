"""All weights of a dtype in one flat tensor. What is done to them goes over all at once (foreach), and to the optimiser the
model is one weight or two. That saves the launches and the bookkeeping of hundreds."""

import copy
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mpcore.precision.base import Precision
from mpcore.precision.errors import PrecisionError
from mpcore.precision.optimisers import ELEMENTWISE, ParameterGroup, as_real
from mpcore.records import Recipe

ALIGNMENT = 64
"""Elements: so that every part starts where vectorised kernels may read, at a multiple of 128 bytes."""


def flat(like: Sequence[Tensor], dtype: torch.dtype) -> tuple[Tensor, list[Tensor]]:
    """A tensor of zeros, and views into it, one for each tensor of `like` and with its strides in memory. A copy between two
    memory formats is a slow one, and one launch a weight."""
    padded = [-(-t.numel() // ALIGNMENT) * ALIGNMENT for t in like]
    whole = torch.zeros(sum(padded), dtype=dtype, device=like[0].device)
    parts, start = [], 0
    for tensor, size in zip(like, padded, strict=True):
        parts.append(whole.as_strided(tensor.shape, torch.empty_like(tensor, device="meta").stride(), start))
        start += size
    return whole, parts


class Group:
    """Parameters of one dtype, and in `dtype` what the optimiser updates in their place: copies, or, `shared`, themselves.
    Complex ones are pairs of real numbers there, which all elementwise optimisers make of them, too."""

    def __init__(self, parameters: Mapping[str, Tensor], dtype: torch.dtype, *, shared: bool) -> None:
        self.parameters = dict(parameters)
        values = [as_real(p.detach()) for p in parameters.values()]
        self.shared = shared
        self._some_complex = any(p.is_complex() for p in parameters.values())
        self.joined = True
        """Whether to the optimiser all are one weight, `whole`."""
        self.unreached: set[str] = set()
        """Those that no part of the last batch has reached."""
        self._early: set[str] = set()
        self.whole, masters = flat(values, dtype)
        self.whole.grad, gradients = flat(values, dtype)
        self.masters = dict(zip(parameters, masters, strict=True))
        self.gradients = dict(zip(parameters, gradients, strict=True))
        self.exchange: Callable[[list[Tensor]], list[Tensor]] | None = None
        """Makes of the gradients of a batch in one part what is gathered in their place. A strategy averages them so in the
        format that they are in."""
        for master, value, parameter in zip(masters, values, parameters.values(), strict=True):
            master.copy_(value)
            if shared:
                parameter.data = torch.view_as_complex(master) if parameter.is_complex() else master

    @torch.no_grad()
    def gather(self, *, add: bool) -> None:
        """Moves the parameters' gradients to the masters', to which they are added or in whose place they are put, but for
        those of `gather_early`. A weight that the loss does not reach has a gradient of zero, and is in `unreached` if no part
        of the batch reaches it. Raises PrecisionError where what was exchanged already would be added to."""
        assert self.whole.grad is not None
        if add and self.exchange is not None:
            raise PrecisionError("gradients are gathered twice for one part of a batch: expected one call of backward() for it")
        names = [name for name in self.parameters if name not in self._early]
        missing = {name for name in names if self.parameters[name].grad is None}
        self.unreached = self.unreached & missing if add else missing
        before = self.whole.grad.clone() if add and not self._early else None
        self._move(names, add=add and before is None)
        if before is not None:
            self.whole.grad.add_(before)
        self._early.clear()

    @torch.no_grad()
    def gather_early(self, names: Sequence[str], *, add: bool) -> None:
        """The same of some, whose gradients are there already, while the backward pass still runs."""
        self._move(names, add=add)
        self._early.update(names)

    def _move(self, names: Sequence[str], *, add: bool) -> None:
        parameters = [self.parameters[name] for name in names]
        if not parameters:
            return
        found = [_dense(p, g) if (g := p.grad) is None or g.is_sparse else g for p in parameters]
        found = [as_real(gradient) for gradient in found] if self._some_complex else found
        found = found if self.exchange is None else self.exchange(found)
        places = [self.gradients[name] for name in names]
        if add:
            for place, gradient in zip(places, found, strict=True):
                place.add_(gradient)
        else:
            torch._foreach_copy_(places, found)  # private API
        for p in parameters:
            p.grad = None

    def join(self, optimiser: torch.optim.Optimizer) -> None:
        """`optimiser`, which has the masters, is given one tensor in their place, where that is the same to it. It must have
        them all in one group, and have made no state of them yet."""
        masters = {id(master) for master in self.masters.values()}
        for group in optimiser.param_groups:
            others = [p for p in group["params"] if id(p) not in masters]
            if len(others) == len(group["params"]) - len(masters) and type(optimiser) in ELEMENTWISE and not optimiser.state:
                group["params"] = [self.whole, *others]
                return
        self.joined = False

    def offer(self, optimiser: torch.optim.Optimizer) -> None:
        """Gives `optimiser` the gradients, None where the loss reached nothing: so it leaves a weight and its state alone. What
        is one tensor has one state and one count of steps, and is taken apart for good where a weight is not reached."""
        if self.joined and self.unreached:
            self.take_apart(optimiser)
        if not self.joined:
            for name, master in self.masters.items():
                master.grad = None if name in self.unreached else self.gradients[name]

    def put_together(self, optimiser: torch.optim.Optimizer) -> None:
        """One tensor again, and without a state."""
        self.joined = True
        masters = {id(master) for master in self.masters.values()}
        for group in optimiser.param_groups:
            others = [p for p in group["params"] if id(p) not in masters]
            if len(others) < len(group["params"]):
                group["params"] = [self.whole, *others]
        for master in self.masters.values():
            optimiser.state.pop(master, None)

    def take_apart(self, optimiser: torch.optim.Optimizer) -> None:
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


def _dense(parameter: Tensor, gradient: Tensor | None) -> Tensor:
    return torch.zeros_like(parameter) if gradient is None else gradient.to_dense()


class FlatWeights(Precision):
    """A mode whose weights are in `groups`: one for each of the workload's parameter groups and each dtype."""

    groups: list[Group]
    gathered = False
    """Whether a part of the batch has left its gradients already, to which those of the next are added."""

    def flatten(self, model: nn.Module, stored: Callable[[nn.Parameter], tuple[torch.dtype, bool]]) -> None:
        """Makes `groups`. stored: in what dtype the optimiser updates a parameter, and whether there, or in a copy."""
        weights = self.trained(model)
        self._members: list[list[Group]] = []
        for names in [g.names for g in self.weight_groups] or [tuple(weights)]:
            kinds = {name: stored(weights[name]) for name in names}
            alike = [(kind, {n: weights[n] for n in names if kinds[n] == kind}) for kind in dict.fromkeys(kinds.values())]
            self._members.append([Group(parameters, dtype, shared=shared) for (dtype, shared), parameters in alike])
        self.groups = [group for members in self._members for group in members]

    def update_in_place_of(self, model: nn.Module, recipe: Recipe) -> None:
        """Called last by `prepare`."""
        self.model = model
        self.gathered = False
        self.optimiser = self.make_optimiser(self.weights(), recipe)
        if self.own_optimiser is not None:
            for group in self.groups:
                group.join(self.optimiser)

    def parameter_groups(self, weights: Mapping[str, Tensor], recipe: Recipe) -> list[ParameterGroup]:
        """The workload's own optimiser is given tensor by tensor what it may want to see so, the recipe's one tensor."""
        found = super().parameter_groups(weights, recipe)
        if self.own_optimiser is None:
            for group, members in zip(found, self._members, strict=True):
                group["params"] = [member.whole for member in members]
        return found

    def sparse(self) -> Sequence[str]:
        return ()  # gradients are gathered as dense ones

    def backward(self, loss: Tensor) -> None:
        loss.backward()
        for group in self.groups:
            group.gather(add=self.gathered)
        self.gathered = True

    def update(self) -> None:
        self.clip()
        for group in self.groups:
            group.offer(self.optimiser)
        self.step_optimiser()
        for group in self.groups:
            group.scatter()
        self.gathered = False

    def clip(self) -> None:
        if self.max_norm is None:
            return
        wholes = [group.whole for group in self.groups]
        norm = nn.utils.get_total_norm([w.grad for w in wholes if w.grad is not None], foreach=True)
        norm = norm.nan_to_num(nan=torch.inf, posinf=torch.inf)  # or what lies between the parts would be NaN for ever
        nn.utils.clip_grads_with_norm_(wholes, self.max_norm, norm, foreach=True)

    @property
    def layout(self) -> Hashable:
        layout = super().layout
        return None if layout is None else (layout, *(group.joined for group in self.groups))

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"joined": [group.joined for group in self.groups]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for group, joined in zip(self.groups, state["joined"], strict=True):
            if group.joined != joined:
                (group.take_apart if group.joined else group.put_together)(self.optimiser)
                self._layouts += 1
        super().load_state_dict(state)

    def weights(self) -> dict[str, Tensor]:
        return {name: master for g in self.groups for name, master in g.masters.items()}

    def gradients(self) -> dict[str, Tensor]:
        return {name: gradient for g in self.groups for name, gradient in g.gradients.items() if name not in g.unreached}
