"""A plain loop, as a script has it: a generator that yields the loss of each step."""

from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from mpcore.workloads import OwnStep, WorkloadError


class LoopStep(OwnStep):
    """A script whose training is one function, which goes through batches. It yields the loss where a step is done, and nothing
    else of it changes; what `optimisers()` and the others need, it keeps in `self`.

    One step is made before it is measured: until then a loop has not even built its model.
    """

    @abstractmethod
    def loop(self, precision: str, device: torch.device, batches: Iterator[Any]) -> Iterator[Tensor]:
        """Trains on `batches`, which have no end, one for each step, and yields the loss of each."""

    def build(self, precision: str, device: torch.device) -> Callable[[Any], Tensor]:
        given: list[Any] = []
        losses = self.loop(precision, device, self._taken(given))

        def step(batch: Any) -> Tensor:
            given.append(batch)
            if (loss := next(losses, None)) is None:
                raise WorkloadError(f"{self.name}: loop() came to its end: expected a loss for each of the batches")
            return loss

        step(next(iter(self.batches(device))))
        return step

    def _taken(self, given: list[Any]) -> Iterator[Any]:
        while True:
            if not given:
                raise WorkloadError(
                    f"{self.name}: loop() took a second batch before it yielded a loss: expected one for a step"
                )
            yield given.pop()
