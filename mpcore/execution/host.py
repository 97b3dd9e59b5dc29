"""What the host decides in a step. A graph of the step goes on with what was decided while it was captured."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakSet

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_pre_hook

EAGER = "expected --mp-execution eager"


class HostDecisions:
    """Of a step, whose buffers are those of `model`. Its optimisers are those that `met` has seen: nobody may have named them.

    What a module keeps beside its buffers is not looked at: a tensor that it puts there for its caller is no decision.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._optimisers: WeakSet[Optimizer] = WeakSet()
        self.drawn: list[str] = []
        """What is to be known of host generators that a graph drew from. Some models draw, and decide nothing by it."""

    @contextmanager
    def met(self) -> Iterator[None]:
        """Within it the optimisers that step are noted."""
        handle = register_optimizer_step_pre_hook(lambda optimiser, *_: self._optimisers.add(optimiser))
        try:
            yield
        finally:
            handle.remove()

    @contextmanager
    def frozen(self) -> Iterator[list[str]]:
        """with decisions.frozen() as reasons: step(batch)

        Afterwards `reasons` says why a graph of that step would train in another way, as far as it would."""
        reasons: list[str] = []
        before, buffers, generators = self._moving(), dict(self._model.named_buffers()), _generators()
        with self.met():
            yield reasons
        after, kept = self._moving(), dict(self._model.named_buffers())
        moved = [_drawn(whose) for whose, state in _generators().items() if state != generators[whose]]
        self.drawn = list(dict.fromkeys([*self.drawn, *moved]))
        reasons += [reason for optimiser in self._optimisers if (reason := frozen_in_a_graph(optimiser))]
        reasons += [said for (of, said), value in before.items() if after.get((of, said)) != value]
        reasons += [_rebound(name) for name, buffer in buffers.items() if kept.get(name) is not buffer]

    def _moving(self) -> dict[tuple[Any, str], Any]:
        """By whose it is, and by what is to be said if it moves."""
        found: dict[tuple[Any, str], Any] = {}
        for optimiser in self._optimisers:
            found[optimiser, counts_on_host(optimiser)] = _counted(optimiser)
            found[optimiser, set_from_python("the step")] = written_rates(optimiser)
        return found


def frozen_in_a_graph(*optimisers: Optimizer) -> str | None:
    """Why a graph of these would go on with the rate that it was captured with, or None."""
    for optimiser in optimisers:
        rates = [group["lr"] for group in optimiser.param_groups if group["params"] and "lr" in group]
        if not all(isinstance(rate, Tensor) and rate.is_cuda for rate in rates):
            return f"{type(optimiser).__name__} reads its learning rate on the host, where a graph would freeze it: {EAGER}"
    return None


def set_from_python(step: str) -> str:
    """Why a graph of a step that writes its rate itself would go on with one rate."""
    return f"{step} sets its learning rate from Python, where a graph would freeze it: {EAGER}"


def counts_on_host(optimiser: Optimizer) -> str:
    """Why a graph of one whose numbers move on the host would go on with those of one step."""
    return f"{type(optimiser).__name__} counts on the host, where a graph would freeze it: {EAGER}"


def written_rates(optimiser: Optimizer) -> list[Any]:
    """What tells whether one was set: numbers, and of tensors which they are and how often they were written to."""
    rates = (group.get("lr") for group in optimiser.param_groups)
    return [(id(rate), rate._version) if isinstance(rate, Tensor) else rate for rate in rates]  # private API


def host_numbers(optimiser: Optimizer) -> list[Any]:
    """What `optimiser` keeps in Python, such as a count of steps: a captured step would not go on with it."""
    options = ({k: v for k, v in group.items() if k != "lr"} for group in optimiser.param_groups)
    kept = [*_remembered(optimiser), *(item for group in options for item in group.items())]
    return [(key, value) for key, value in kept if isinstance(value, int | float)]


def _remembered(optimiser: Optimizer) -> list[tuple[Any, Any]]:
    """By weight as a rule, and some of all weights together."""
    state = optimiser.state.items()
    return [item for key, value in state for item in (value.items() if isinstance(value, dict) else [(key, value)])]


def _counted(optimiser: Optimizer) -> list[Any]:
    """The same, and how often was written to what it keeps in tensors of the CPU."""
    tensors = [(key, value) for key, value in _remembered(optimiser) if isinstance(value, Tensor) and not value.is_cuda]
    return [*host_numbers(optimiser), *((key, value._version) for key, value in tensors)]  # private API


def _generators() -> dict[str, Any]:
    """Where those of the host stand, by whose they are."""
    _, keys, *place = np.random.get_state(legacy=True)
    return {
        "torch": torch.get_rng_state().numpy().tobytes(),
        "NumPy": (np.asarray(keys).tobytes(), *place),
        "Python": random.getstate(),
    }


def _drawn(whose: str) -> str:
    return f"it draws numbers on the host from the generator of {whose}, and a graph goes on with those of its capture"


def _rebound(buffer: str) -> str:
    return f"the model replaces its buffer {buffer} and does not write to it, and a graph would read the old one: {EAGER}"
