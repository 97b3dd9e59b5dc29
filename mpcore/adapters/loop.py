"""A plain loop, as a script has it: a generator that yields the loss of each step."""

from abc import abstractmethod
from collections.abc import Callable, Generator, Iterator
from typing import Any

import torch
from torch import Tensor

from mpcore.workloads import OwnStep


class LoopStep(OwnStep):
    """A script whose training is one function: it goes through batches, and yields each loss at the end of a step.

    Such a loop has a `yield` where it would print. Its optimisers are named by `self.optimiser = ...`, or by `optimisers()`.
    """

    @abstractmethod
    def loop(self, precision: str, device: torch.device, batches: Iterator[Any]) -> Generator[Tensor, None, None]:
        """Trains on `batches`, which have no end, and yields the loss of each step, once all else of the step is done."""

    def build(self, precision: str, device: torch.device) -> Callable[[Any], Tensor]:
        given: list[Any] = []
        losses = self.loop(precision, device, iter(given.pop, None))

        def step(batch: Any) -> Tensor:
            given.append(batch)
            return next(losses)

        return step
