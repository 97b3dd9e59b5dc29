"""One training step of a script: an own step in a precision, as its author wrote it."""

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from mpcore.device import agreement
from mpcore.device.compile_cache import keep_formats_apart
from mpcore.execution.eager import Eager, executions
from mpcore.execution.graph import CaptureError, Graph
from mpcore.execution.host import EAGER, frozen_in_a_graph, set_from_python
from mpcore.precision import precisions
from mpcore.training.base import Step
from mpcore.training.checked import (
    checked_call,
    checked_loss_of,
    checked_optimisers,
    checked_parameters,
    checked_state,
    endless_batches,
)
from mpcore.training.generators import seed_everything
from mpcore.training.rates import Rates, kept_as_built
from mpcore.workloads import OwnStep

BATCHES = 2
"""That it is timed on."""


class ScriptStep(Step):
    """One training step of `own` in `precision`: batch in, loss out (0-dim, on the device, not waited for).

    It is built from `seed`. The process-wide settings of a precision that is a mode hold while it is built and inside a call.
    Raises WorkloadError, and CaptureError for a graph that would freeze a rate.
    """

    _execute: Eager

    def __init__(
        self, own: OwnStep, precision: str, device: torch.device, *, seed: int = 0, execution: str = Eager.name
    ) -> None:
        self.label = own.name
        self.own = own.anew()
        self.device = device
        self.seed = seed
        self.spread = own.distributed and agreement.ranks() > 1
        self._known = precision in precisions.names()
        self._settings = precisions[precision]().settings if self._known else nullcontext
        how = executions[execution]
        keep_formats_apart()  # of what it may compile by itself
        seed_everything(seed)
        with self.settings():
            with how.stream(device) if own.distributed else agreement.alone(), kept_as_built():
                self._call = checked_call(self.own, precision, device)
            self._find_parts()
        self._captures = issubclass(how, Graph)
        if self._captures and self.frozen:
            raise _not_captured(self.frozen)
        self._execute = how(self._step, self._modules, device=device)
        self._first: list[Any] | None = None
        self._held: list[tuple[Tensor, Tensor]] | None = None

    def settings(self) -> AbstractContextManager[None]:
        return self._settings()

    def __call__(self, batch: Any) -> Tensor:
        with self._settings():
            try:
                return self._execute(batch)
            except CaptureError as error:
                raise _not_captured(error) from error

    def launch(self, batch: Any) -> Tensor:
        with self._settings():
            return self._step(batch)

    def endless_batches(self) -> Iterator[Any]:
        """Those of a training, in the same order whenever it is asked."""
        seed_everything(self.seed)
        return endless_batches(self.own, self.device)

    @property
    def batches(self) -> Sequence[Any]:
        if self._first is None:
            self._first = list(islice(self.endless_batches(), BATCHES))
        return self._first

    @property
    def remark(self) -> str | None:
        said = [] if self._known else ["no mode of mpcore has this name, and its settings are those of the process"]
        if self.device.type == "cuda" and not self._captures and self.frozen:
            said.append(f"eager, for {self.frozen.removesuffix(f': {EAGER}')}")
        if self._held == [] and not self.rates:
            said.append("its weights moved while it was timed: its class has no optimisers(), parameters() or state()")
        return "; ".join([*said, *filter(None, [super().remark])]) or None

    @property
    def optimisers(self) -> Sequence[torch.optim.Optimizer]:
        return self._optimisers

    def set_rate(self, share: float) -> None:
        if self.rates:
            self.rates.set(share)

    def weights(self) -> Mapping[str, Tensor]:
        return self._weights

    def put_back(self) -> None:
        with torch.no_grad():
            if self._held is None:
                self._held = [(tensor, tensor.detach().clone()) for tensor in self._moving()]
            for tensor, was in self._held:
                tensor.copy_(was)

    def _step(self, batch: Any) -> Tensor:
        if self._captures and self.rates and self.rates.written:
            raise CaptureError(set_from_python(self.label))
        return checked_loss_of(self.own, self._call, batch, self.device)

    @property
    def frozen(self) -> str | None:
        """Why its graph would go on with one rate, or None."""
        return frozen_in_a_graph(*self._optimisers) if self.rates else None

    def _find_parts(self) -> None:
        """What the author says of the step that was built."""
        own = self.own
        self._optimisers = checked_optimisers(own)
        modules, tensors = checked_parameters(own)
        if not tensors:
            groups = [group["params"] for optimiser in self._optimisers for group in optimiser.param_groups]
            tensors = {f"{i}.{j}": weight for i, group in enumerate(groups) for j, weight in enumerate(group)}
        self.rates = Rates(self._optimisers) if Rates.all_have(self._optimisers) else None
        self._modules = modules or nn.Module()
        if modules is not None:
            self.model = modules
        self._weights = {name: t for name, t in tensors.items() if t.requires_grad}
        self._learned = list(tensors.values())
        has = {"rate": self.rates, "optimisers": self._optimisers, "model": modules, "weights": self._weights}
        self.capabilities = frozenset(name for name, value in has.items() if value)  # type: ignore[misc]

    def _moving(self) -> list[Tensor]:
        """What a step moves, also at rate 0: its author may have left an optimiser out. To be asked for once steps were made,
        which fill the state of optimisers."""
        state = checked_state(self.own)
        if not self.rates:
            return [*self._learned, *state]
        trained = {id(p) for optimiser in self._optimisers for group in optimiser.param_groups for p in group["params"]}
        return [*(weight for weight in self._weights.values() if id(weight) not in trained), *state]


def _not_captured(reason: str | CaptureError) -> CaptureError:
    """With what its author can do."""
    said = str(reason).removesuffix(f": {EAGER}")
    return CaptureError(f"{said}: {EAGER}, or execution = 'eager' in its class for good")


def usual_execution(own: OwnStep, device: torch.device) -> str:
    """How it is run where nobody says: as its author says. It is eager on a CPU, and where its optimiser finds its rate on the
    host. On a GPU it is built for that, in its first precision. Raises WorkloadError."""
    if device.type != "cuda" or own.execution == Eager.name:
        return Eager.name
    found = Eager.name if ScriptStep(own, own.reference, device).frozen else own.execution
    gc.collect()
    torch.cuda.empty_cache()
    return found
