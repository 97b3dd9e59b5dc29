"""A training step that somebody else has written: what is known of it, and the step that is measured."""

import functools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule

from mpcore.data import Batch
from mpcore.errors import reraised_as, where
from mpcore.execution import CaptureError, Eager, ReduceOverhead, executions
from mpcore.execution.host import frozen_in_a_graph, set_from_python
from mpcore.precision import Inapplicable, Precision, PrecisionError
from mpcore.precision.autocast import Autocast
from mpcore.precision.optimisers import keep_on_device
from mpcore.trainers.skips import Skips
from mpcore.training.of_workload import WorkloadStep
from mpcore.training.rates import Rates, innermost
from mpcore.workloads import Workload, WorkloadError
from mpcore.workloads.checked import checked_prediction, described

ASKED_OF_DDP = re.compile("'DistributedDataParallel' object has no attribute '(\\w+)'")
"""In torch's words."""


class TrainerError(RuntimeError):
    """A trainer whose methods or steps fail: one sentence that names the trainer."""


def reraised(what: str) -> AbstractContextManager[None]:
    """Within it, what is raised becomes a TrainerError, unless it is one that says by itself what happened."""
    others = (Inapplicable, WorkloadError, PrecisionError, CaptureError, torch.cuda.OutOfMemoryError)
    return reraised_as(TrainerError, what, *others)


@contextmanager
def past_ddp(label: str) -> Iterator[None]:
    """Within it, who calls another method of a model in DDP than its forward pass is told what to wrap in its place."""
    try:
        yield
    except AttributeError as error:
        if not (asked := ASKED_OF_DDP.search(str(error))):
            raise
        expected = "expected DDP around `mpcore.strategies.LossModule(model, functools.partial(workload.loss, model))`"
        raise TrainerError(
            f"{label}: its loss uses {asked[1]!r} of the model, and DDP averages what goes through forward() alone"
            f"{where(error)}: {expected}, called with the batch"
        ) from error


@dataclass(frozen=True, kw_only=True)
class Loop:
    """What a trainer builds. `step` is all that must be there: of what else is not, some tests say in a sentence what they
    lack."""

    step: Callable[[Batch], Tensor]
    """A whole training step: batch in, loss out (0-dim, on the device). Gradients are gone at its end."""
    optimisers: Sequence[torch.optim.Optimizer] = ()
    """Of torch.optim, or what a library wraps around them. Rates are set in their groups, and gradients looked at before they
    step."""
    scaler: torch.amp.GradScaler | None = None
    """What scales the loss, so that its scale and the skipped steps are known."""
    model: Callable[..., Any] | None = None
    """What `step` calls in the model's place, for predictions; the model itself where nothing is wrapped around it."""
    whole: Callable[..., Any] | None = None
    """In the place of `model`, for predictions, what `step` calls with a batch for its loss: a LossModule, or what is wrapped
    around it on ranks."""
    forward: Callable[[], AbstractContextManager[Any]] = nullcontext
    """Makes the context that `step` computes its loss in, such as autocast, for predictions."""
    weights: Mapping[str, Tensor] | None = None
    """By the names of the model's parameters, what the optimisers update in their place, such as FP32 masters."""

    def __post_init__(self) -> None:
        """Raises ValueError for what is none of these."""
        if not callable(self.step):
            raise ValueError(f"step is {described(self.step)}: expected a function of a batch, which returns the loss")
        optimisers = self.optimisers if isinstance(self.optimisers, Sequence) else [None]
        if not all(isinstance(innermost(each), torch.optim.Optimizer) for each in optimisers):
            raise ValueError(f"optimisers is {described(self.optimisers)}: expected a list of optimisers of torch.optim")


class LoopStep(WorkloadStep):
    """The step of the loop that `build` returns, which may wrap the model. Raises TrainerError, and Inapplicable for a loop
    that cannot be captured."""

    def __init__(
        self,
        build: Callable[[], Loop],
        workload: Workload,
        precision: Precision,
        model: nn.Module,
        device: torch.device,
        *,
        execution: str = Eager.name,
        dropout: bool = True,
    ) -> None:
        self.label = workload.name
        super().__init__(workload, precision, model, device, dropout=dropout)
        how = executions[execution]
        with how.stream(device):
            self._loop = loop = build()
        self._parameters = Precision()
        self._parameters.model = model
        self._autocast_seen = False
        self._optimisers = [innermost(optimiser) for optimiser in loop.optimisers]
        self._skips = Skips(loop.scaler, device) if loop.scaler is not None and loop.scaler.is_enabled() else None
        self._captures = how.captures(device)
        if self._captures:
            self._keep_rates_on_device()
        self._rates = Rates(self._optimisers) if Rates.all_have(self._optimisers) else None
        has = {"rate": self._rates, "optimisers": self._optimisers, "model": True, "weights": True, "prediction": True}
        self.capabilities = frozenset(name for name, value in has.items() if value)  # type: ignore[misc]
        how.prepare(model)
        self._execute = how(self._step, model)
        self._execute_prediction = how(self._predict, model)

    def as_written(self, batch: Batch) -> Tensor:
        """One step as its author calls it, without what is put around each call here; a captured one as it is. To be called
        within `settings()`, with batches of one shape."""
        if self._captures:
            return self._execute(batch)
        if isinstance(self._execute, ReduceOverhead):
            torch.compiler.cudagraph_mark_step_begin()  # which all have to say once one does
        return self._call(batch)

    def set_rate(self, share: float) -> None:
        if self._rates:
            self._rates.set(share)

    @property
    def optimisers(self) -> Sequence[torch.optim.Optimizer]:
        return self._optimisers

    def weights(self) -> Mapping[str, Tensor]:
        return self._parameters.weights() if self._loop.weights is None else self._loop.weights

    def gradients(self) -> Mapping[str, Tensor]:
        return self._parameters.gradients() if self._loop.weights is None else super().gradients()

    def fp32_on_purpose(self, given: Any = ()) -> bool:
        """Where autocast is off, though it was on."""
        on = torch.is_autocast_enabled(self.device.type)
        self._autocast_seen = self._autocast_seen or on
        return isinstance(self.precision, Autocast) and self._autocast_seen and not on

    @property
    def loss_scale(self) -> Tensor | None:
        return None if self._skips is None else self._skips.loss_scale

    @property
    def skipped(self) -> Tensor | None:
        return None if self._skips is None else self._skips.count

    def _step(self, batch: Batch) -> Tensor:
        if self._captures and self._rates and self._rates.written:
            raise CaptureError(set_from_python(self.label))
        self.before_loss()
        loss = self._call(batch)
        if not isinstance(loss, Tensor) or loss.dim() or loss.device.type != self.device.type:
            raise TrainerError(
                f"{self.label}: its step returned {described(loss)}: expected the loss, a 0-dim tensor on {self.device}"
            )
        return loss.detach()

    def _call(self, batch: Batch) -> Tensor:
        try:
            return self._loop.step(batch)
        except Exception as error:  # the context is made here only: it takes microseconds of each step
            with reraised(f"{self.label}: its step"), past_ddp(self.label):
                raise error

    def _predict(self, batch: Batch) -> Tensor:
        model: Any = self._loop.model or self.model
        predict = functools.partial(checked_prediction, self.workload, model)
        with torch.no_grad(), self._loop.forward():
            predicted: Tensor = predict(batch) if self._loop.whole is None else self._loop.whole(batch, predict)
        for module in self._gathering:
            module.reshard()
        return predicted

    @functools.cached_property
    def _gathering(self) -> list[FSDPModule]:
        """What gathers weights for a forward pass. A backward pass gives them back, and a prediction has none: they would be
        used again after the next update."""
        called = self._loop.whole or self._loop.model
        modules = (called if isinstance(called, nn.Module) else self.model).modules()
        return [module for module in modules if isinstance(module, FSDPModule)]

    def _keep_rates_on_device(self) -> None:
        for optimiser in self._optimisers:
            keep_on_device(optimiser)
        if reason := frozen_in_a_graph(*self._optimisers):
            raise CaptureError(reason)
