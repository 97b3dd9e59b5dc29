"""A plain loop, as a script has it: a generator that yields the loss of each step."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from mpcore.execution.graph import CaptureError
from mpcore.workloads import OwnStep, WorkloadError
from mpcore.workloads.checked import described


class LoopStep(OwnStep):
    """A script whose training is one function, which goes through batches. It yields the loss where a step is done, and nothing
    else of it changes; what `optimisers()` and the others need, it keeps in `self`.

    One step is made before it is measured: until then a loop has not even built its model. A loop may take the batches of its
    next step before it yields, to load them meanwhile. Two steps are made of it then, and it cannot be captured: a graph would
    go on with what was taken before it.
    """

    batches_per_step: ClassVar[int] = 1
    """How many it takes before it yields: more than one where it accumulates their gradients."""

    @abstractmethod
    def loop(self, precision: str, device: torch.device, batches: Iterator[Any]) -> Iterator[Tensor]:
        """Trains on `batches`, which have no end, `batches_per_step` for each step. Yields the loss of each step, a 0-dim
        tensor on `device`. What it raises is told as one sentence, a WorkloadError."""

    def build(self, precision: str, device: torch.device) -> Callable[[Any], Tensor]:
        given: list[Any] = []
        ahead: list[Any] = []
        losses = self._started(precision, device, given, ahead)
        looks_ahead = False

        def step(batches: Sequence[Any]) -> Tensor:
            if looks_ahead and device.type == "cuda" and torch.cuda.is_current_stream_capturing():
                raise CaptureError(f"{self.name}: loop() takes a batch before it yields, and a graph would go on with that one")
            given.extend(reversed(batches))
            if (loss := next(losses, None)) is None:
                raise WorkloadError(f"{self.name}: loop() came to its end: expected a loss for each of the batches")
            if given:
                if len(given) == len(batches):
                    raise WorkloadError(
                        f"{self.name}: loop() yielded a loss and took none of `batches`: expected it to train on them"
                    )
                taken = f"loop() yielded a loss after {len(batches) - len(given)} of {len(batches)} batches"
                raise WorkloadError(f"{self.name}: {taken}: expected batches_per_step to say how many")
            return loss

        steps = iter(self.step_batches(device))
        first = next(steps, None)
        if first is None:
            raise WorkloadError(f"{self.name}: batches() gave too few for a step: expected {self.batches_per_step} or more")
        ahead.extend(reversed(next(steps, first)))
        step(first)
        looks_ahead = len(ahead) < self.batches_per_step
        ahead.clear()
        if looks_ahead:
            step(first)
        return step

    def _started(self, precision: str, device: torch.device, given: list[Any], ahead: list[Any]) -> Iterator[Tensor]:
        """The loop, in which nothing runs before its first loss is asked for."""
        expected = "expected a generator, with yield loss where a step is done"
        try:
            losses = self.loop(precision, device, self._taken(given, ahead))
        except _NotThere:
            raise WorkloadError(f"{self.name}: loop() goes through its batches and yields nothing: {expected}") from None
        if not isinstance(losses, Iterator):
            raise WorkloadError(f"{self.name}: loop() returned {described(losses)}: {expected}")
        return losses

    def step_batches(self, device: torch.device) -> Iterable[Sequence[Any]]:
        """What is left of the last step is left out."""
        batches = iter(self.batches(device))
        return zip(*[batches] * self.batches_per_step, strict=False)

    def _taken(self, given: list[Any], ahead: list[Any]) -> Iterator[Any]:
        """ahead: what may be taken beyond what was given."""
        while True:
            if not given and not ahead:
                count = self.batches_per_step
                raise _NotThere(
                    f"{self.name}: loop() took more than {count} of its batches before it yielded a loss: expected "
                    "batches_per_step in its class to say how many. A loop that accumulates gradients takes several"
                )
            yield (given or ahead).pop()


class _NotThere(WorkloadError):
    """Of a batch that the loop asks for too early."""
