"""What checks an own step: each of its methods is called here, and what it returns is seen to be what it must be.

Every function raises WorkloadError: one sentence that names the step, the method, what it returned and what was expected.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves  # private API

from mpcore.data import DataError, leaves
from mpcore.errors import reraised_as
from mpcore.precision import Inapplicable
from mpcore.training.rates import innermost
from mpcore.workloads import OwnStep, WorkloadError
from mpcore.workloads.checked import described
from mpcore.workloads.own_step import Call

END = object()


def checked_call(own: OwnStep, precision: str, device: torch.device) -> Call:
    """What `build` returns, once it is seen to be something to call. Raises WorkloadError."""
    with reraised(own, "build"):
        call = own.build(precision, device)
    if not callable(call):
        raise WorkloadError(f"{own.name}: build() returned {described(call)}: expected a function of a batch")
    return call


def checked_loss_of(own: OwnStep, call: Call, batch: Any, device: torch.device) -> Tensor:
    """What the step returns, once it is seen to be a loss. Raises WorkloadError."""
    try:
        loss = call(batch)
    except Exception as error:  # the context is made here only: it takes microseconds of each step
        with reraised(own, "the step", called=False):
            raise error
    if not isinstance(loss, Tensor) or loss.dim() or not loss.is_floating_point():
        expected = "the loss, a 0-dim tensor, without .item()"
        raise WorkloadError(f"{own.name}: the step returned {described(loss)}: expected {expected}")
    if loss.device.type != device.type:
        raise WorkloadError(f"{own.name}: the step returned a loss on {loss.device}: expected it on {device}, not waited for")
    return loss.detach()


def endless_batches(own: OwnStep, device: torch.device) -> Iterator[Any]:
    """Those of `batches`, from the beginning again after the last. Raises WorkloadError where there are none, or elsewhere than
    on `device`."""
    while True:
        with reraised(own, "batches"):
            found = own.step_batches(device)
            if not isinstance(found, Iterable):
                raise WorkloadError(f"{own.name}: batches() returned {described(found)}: expected batches, one after the other")
            batches = iter(found)
        count = 0
        while True:
            with reraised(own, "batches"):
                batch = next(batches, END)
            if batch is END:
                break
            _check_device(own, batch, device)
            count += 1
            yield batch
        if not count:
            raise WorkloadError(f"{own.name}: batches() gave none: expected one at least")


def _check_device(own: OwnStep, batch: Any, device: torch.device) -> None:
    """A length, or a mask, may well be on the CPU: one tensor at least must be where the step is."""
    places = sorted({str(leaf.device) for leaf in leaves(batch)})
    if places and not any(torch.device(place).type == device.type for place in places):
        raise WorkloadError(f"{own.name}: batches() gave tensors on {', '.join(places)}: expected them on {device}")


def checked_optimisers(own: OwnStep) -> list[torch.optim.Optimizer]:
    """Those of `optimisers`; of a library's own, the ones inside them, which have the hooks. Raises WorkloadError."""
    with reraised(own, "optimisers"):
        given = own.optimisers()
        found = list(given.values() if isinstance(given, Mapping) else given if isinstance(given, Iterable) else [given])
    return [_torch_optimiser(own, each) for each in found]


def checked_parameters(own: OwnStep) -> tuple[nn.Module | None, dict[str, Tensor]]:
    """Of `parameters`, a module that has all modules in it, where there are any; and all tensors by name. Raises
    WorkloadError."""
    with reraised(own, "parameters"):
        given = own.parameters()
        if isinstance(given, nn.Module):
            return given, dict(given.named_parameters())
        named = dict(given) if isinstance(given, Mapping) else dict(_named(number, each) for number, each in enumerate(given))
        if named and all(isinstance(each, nn.Module) for each in named.values()):
            modules = nn.ModuleDict(named)
            return modules, dict(modules.named_parameters())
    if wrong := [each for each in named.values() if not isinstance(each, Tensor)]:
        raise WorkloadError(f"{own.name}: parameters() returned {described(wrong[0])}: expected modules, or tensors")
    return None, named


def checked_state(own: OwnStep) -> list[Tensor]:
    """The tensors of `state`; of what has a state_dict, those that it gives out, which are those that it uses. Raises
    WorkloadError."""
    found = []
    with reraised(own, "state"):
        for leaf in tree_leaves(own.state()):
            if not isinstance(leaf, Tensor) and not hasattr(leaf, "state_dict"):
                expected = "tensors, and what has a state_dict()"
                raise WorkloadError(f"{own.name}: state() returned {described(leaf)}: expected {expected}")
            inner = leaf if isinstance(leaf, Tensor) else leaf.state_dict()
            found += [tensor for tensor in tree_leaves(inner) if isinstance(tensor, Tensor)]
    return found


def _torch_optimiser(own: OwnStep, value: Any) -> torch.optim.Optimizer:
    value = innermost(value)
    if not isinstance(value, torch.optim.Optimizer):
        raise WorkloadError(f"{own.name}: optimisers() returned {described(value)}: expected optimisers of torch.optim")
    return value


def _named(number: int, each: Any) -> tuple[str, Any]:
    """Those of `named_parameters()` have their names."""
    return each if isinstance(each, tuple) and len(each) == 2 and isinstance(each[0], str) else (str(number), each)


def reraised(own: OwnStep, what: str, *, called: bool = True) -> AbstractContextManager[None]:
    """Within it, what the author's code raises becomes a WorkloadError. Memory that runs out is no mistake of his."""
    name = f"{own.name}: {what}" + ("()" if called else "")
    return reraised_as(WorkloadError, name, DataError, Inapplicable, torch.cuda.OutOfMemoryError)
