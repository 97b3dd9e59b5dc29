"""The learning rates of a script's own optimisers, of all their groups, as shares of what they are by themselves."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from mpcore.execution.host import written_rates

BUILT = "built_lr"
"""In a group, the rate that it was built with."""


@contextmanager
def kept_as_built() -> Iterator[None]:
    """Within it, each group of an optimiser that is built keeps its rate in `BUILT`: a loop that makes its first step here may
    have set another for it by hand."""
    add = torch.optim.Optimizer.add_param_group

    def keep(optimiser: torch.optim.Optimizer, param_group: dict[str, Any]) -> None:
        add(optimiser, param_group)
        if "lr" in (added := optimiser.param_groups[-1]):
            added.setdefault(BUILT, float(added["lr"]))

    torch.optim.Optimizer.add_param_group = keep  # type: ignore[assignment,method-assign]
    try:
        yield
    finally:
        torch.optim.Optimizer.add_param_group = add  # type: ignore[method-assign]


class Rates:
    """optimisers: each of whose groups has a rate; `all_have` says whether that is so.

    A schedule inside a step sets the rates anew, and so they are set once more at the optimiser's door.
    """

    def __init__(self, optimisers: Sequence[torch.optim.Optimizer]) -> None:
        self._optimisers = optimisers
        self._share: float | None = None
        self._own = [_own_rates(optimiser) for optimiser in optimisers]
        self._seen = [written_rates(optimiser) for optimiser in optimisers]
        self.written = False
        """Whether the step itself has set a rate that lives in a tensor."""
        for number, optimiser in enumerate(optimisers):
            optimiser.register_step_pre_hook(lambda *_, number=number: self._at_the_door(number))

    @staticmethod
    def all_have(optimisers: Sequence[torch.optim.Optimizer]) -> bool:
        """Whether there is a rate to set in each group of at least one optimiser."""
        groups = [group for optimiser in optimisers for group in optimiser.param_groups]
        return bool(groups) and all(isinstance(group.get("lr"), float | int | Tensor) for group in groups)

    def set(self, share: float) -> None:
        """From now on each group learns at `share` of its own rate, whatever the step sets."""
        self._share = share
        for number in range(len(self._optimisers)):
            self._write(number, share)

    def _write(self, number: int, share: float) -> None:
        optimiser = self._optimisers[number]
        for group, own in zip(optimiser.param_groups, self._own[number], strict=True):
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(own * share)  # in place, where a captured step reads it
            else:
                group["lr"] = own * share
        self._seen[number] = written_rates(optimiser)

    def _at_the_door(self, number: int) -> None:
        rates = written_rates(self._optimisers[number])
        if rates == self._seen[number]:
            return
        self.written = self.written or any(isinstance(rate, tuple) for rate in rates)
        self._seen[number] = rates
        if self._share is not None:
            self._write(number, self._share)


def innermost(optimiser: Any) -> Any:
    """Of what a library wraps around an optimiser of torch, that: it has the hooks."""
    while isinstance(inner := getattr(optimiser, "optimizer", None), torch.optim.Optimizer):
        optimiser = inner
    return optimiser


def _own_rates(optimiser: torch.optim.Optimizer) -> list[float]:
    """The highest that is known of each group: a schedule may begin with less, and so may a step that sets its rates itself."""
    names = ("lr", "initial_lr", "max_lr", BUILT)
    return [max(float(group[name]) for name in names if name in group) for group in optimiser.param_groups]
