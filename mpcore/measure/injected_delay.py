"""A step that is made to take longer, by a known share: what shows whether a slowdown is found."""

import time
from collections.abc import Callable

import torch
from torch import Tensor

from mpcore.data import Batch
from mpcore.measure.timing import block_seconds
from mpcore.training.base import Step

CYCLES = 10**5, 10**6
"""Of waits whose time is measured: what their difference does not explain is the launch of one."""
WAITS = 100
ROUNDS = 5
"""The shortest count: a GPU that was idle takes a while to reach its clock."""


class DelayedStep(Step):
    """A step, and a wait on its device after each."""

    def __init__(self, step: Step, wait: Callable[[], None]) -> None:
        self.label = step.label
        self.device = step.device
        self.capabilities = step.capabilities
        self._step = step
        self._wait = wait

    @property
    def captured(self) -> bool:
        return self._step.captured

    def set_rate(self, share: float) -> None:
        self._step.set_rate(share)

    def put_back(self) -> None:
        self._step.put_back()

    def __call__(self, batch: Batch) -> Tensor:
        loss = self._step(batch)
        self._wait()
        return loss


def wait_of(seconds: float, device: torch.device) -> Callable[[], None]:
    """What makes `device` wait, launched by the host and not waited for; on a CPU the two are one."""
    if device.type != "cuda":
        return lambda: _spin(seconds)
    rounds = [[_sleep_seconds(cycles, device) for cycles in CYCLES] for _ in range(ROUNDS)]
    few, many = (min(of) for of in zip(*rounds, strict=True))
    per_cycle = (many - few) / (CYCLES[1] - CYCLES[0])
    launch = max(0.0, few - per_cycle * CYCLES[0])
    cycles = max(1, round((seconds - launch) / per_cycle))
    return lambda: torch.cuda._sleep(cycles)  # private API


def _sleep_seconds(cycles: int, device: torch.device) -> float:
    return block_seconds(lambda _: torch.cuda._sleep(cycles), {}, WAITS, device) / WAITS  # private API


def _spin(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass
