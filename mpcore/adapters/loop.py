"""A plain loop, as a script has it: a generator that yields the loss of each step."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from mpcore.workloads import OwnStep, WorkloadError
from mpcore.workloads.checked import described


class LoopStep(OwnStep):
    """A script whose training is one function, which goes through batches. It yields the loss where a step is done, and nothing
    else of it changes; what `optimisers()` and the others need, it keeps in `self`.

    One step is made before it is measured: until then a loop has not even built its model.
    """

    batches_per_step: ClassVar[int] = 1
    """How many it takes before it yields: more than one where it accumulates their gradients."""

    @abstractmethod
    def loop(self, precision: str, device: torch.device, batches: Iterator[Any]) -> Iterator[Tensor]:
        """Trains on `batches`, which have no end, `batches_per_step` for each step. Yields the loss of each step, a 0-dim
        tensor on `device`. What it raises is told as one sentence, a WorkloadError."""

    def build(self, precision: str, device: torch.device) -> Callable[[Any], Tensor]:
        given: list[Any] = []
        losses = self._started(precision, device, given)

        def step(batches: Sequence[Any]) -> Tensor:
            given.extend(reversed(batches))
            if (loss := next(losses, None)) is None:
                raise WorkloadError(f"{self.name}: loop() came to its end: expected a loss for each of the batches")
            if given:
                taken = f"loop() yielded a loss after {len(batches) - len(given)} of {len(batches)} batches"
                raise WorkloadError(f"{self.name}: {taken}: expected batches_per_step to say how many")
            return loss

        first = next(iter(self.step_batches(device)), None)
        if first is None:
            raise WorkloadError(f"{self.name}: batches() gave too few for a step: expected {self.batches_per_step} or more")
        step(first)
        return step

    def _started(self, precision: str, device: torch.device, given: list[Any]) -> Iterator[Tensor]:
        """The loop, in which nothing runs before its first loss is asked for."""
        expected = "expected a generator, with yield loss where a step is done"
        try:
            losses = self.loop(precision, device, self._taken(given))
        except _NotThere:
            raise WorkloadError(f"{self.name}: loop() goes through its batches and yields nothing: {expected}") from None
        if not isinstance(losses, Iterator):
            raise WorkloadError(f"{self.name}: loop() returned {described(losses)}: {expected}")
        return losses

    def step_batches(self, device: torch.device) -> Iterable[Sequence[Any]]:
        """What is left of the last step is left out."""
        batches = iter(self.batches(device))
        return zip(*[batches] * self.batches_per_step, strict=False)

    def _taken(self, given: list[Any]) -> Iterator[Any]:
        while True:
            if not given:
                count = self.batches_per_step
                raise _NotThere(
                    f"{self.name}: loop() took more than {count} of its batches before it yielded a loss: expected "
                    "batches_per_step in its class to be how many it takes for one, as where it accumulates gradients"
                )
            yield given.pop()


class _NotThere(WorkloadError):
    """Of a batch that the loop asks for too early."""
