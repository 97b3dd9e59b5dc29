"""Times blocks of steps between two synchronisations, of one step alone or of several that take turns, A B B A.

A block of about 100 ms, half of it on a CPU, makes the clock's own error nothing. Blocks are timed until the interval that is
wanted is narrow enough. A step alone needs the interval of its time, steps in turns need those of the ratios of neighbours.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from typing import Any

import torch

from mpcore.device import agreement
from mpcore.device.compilations import Compilations
from mpcore.device.machine import synchronise
from mpcore.device.nvml import NvmlSampler
from mpcore.execution.graph import warm_up_calls
from mpcore.gate.intervals import log_half_width
from mpcore.records import Blocks
from mpcore.training.base import Step

BLOCK_SECONDS = {"cuda": 0.1, "cpu": 0.05}
ROUNDS = {"cuda": 8, "cpu": 4}
"""At least, for an interval that means something."""
TIME_LIMIT = {"cuda": 2.0, "cpu": 0.2}
"""Seconds of timing for each step, after which an interval is as wide as it is."""
STATIONARY = 0.01
"""Steps are warm once three short blocks in a row differ by less."""
WARM_UP_SECONDS = 0.02
WARM_UP_BLOCKS = 8


@dataclass
class TimedStep:
    """A step that is timed, on a batch that changes from block to block and not within one.

    compiled: what was compiled, of any step, while its blocks were timed: these are false then.
    """

    step: Step
    batches: Sequence[Any]
    steps: int = 1
    seconds: list[float] = field(default_factory=list)
    compiled: Sequence[str] = ()
    own_seconds: list[float] = field(default_factory=list)
    """Of this rank, where `seconds` are the slowest rank's."""

    @property
    def blocks(self) -> Blocks:
        return Blocks(steps=self.steps, seconds=tuple(self.seconds))

    @property
    def own_blocks(self) -> Blocks:
        return Blocks(steps=self.steps, seconds=tuple(self.own_seconds))

    def warm_up(self) -> None:
        """Until the time of a step stands still, at learning rate 0, so that weights stand still from now on."""
        self.step.set_rate(0.0)
        if not self.step.captured:
            for batch in islice(cycle(self.batches), warm_up_calls() + 1):  # a graph has been captured then
                self.step(batch)
        recent = [self._estimate(1)]
        while len(recent) <= WARM_UP_BLOCKS:
            recent.append(self._estimate(max(1, round(WARM_UP_SECONDS / recent[-1]))))
            if len(recent) > 3 and max(recent[-3:]) < (1 + STATIONARY) * min(recent[-3:]):
                break
        self.steps = max(1, round(BLOCK_SECONDS[self.step.device.type] / recent[-1]))

    def block(self, number: int, sampler: NvmlSampler) -> tuple[float, bool]:
        """Seconds of one block, and whether the GPU said that it was slowed down: on the slowest rank, and on any.

        A captured step leaves the host idle while the GPU works: it is asked then, in the middle of the block. Any other
        is asked afterwards, for the question takes up to some milliseconds.
        """
        self.step.put_back()
        batch, slowed = self.batches[number % len(self.batches)], []
        midway = (lambda: slowed.append(sampler.sample())) if self.step.captured else None
        own = rank_seconds(self.step, batch, self.steps, self.step.device, midway)
        self.own_seconds.append(own)
        return agreement.largest(own), agreement.any_rank(slowed[0] if slowed else sampler.sample())

    def _estimate(self, steps: int) -> float:
        return block_seconds(self.step, self.batches[0], steps, self.step.device) / steps


def interleave(timed_steps: Sequence[TimedStep], target: float, sampler: NvmlSampler) -> int:
    """Times the timed_steps, of whom the first is the case, until the half-width of the 99 % interval is `target`.

    Returns the number of rounds that were dropped because the GPU was slowed down in one of their blocks. Where fewer
    than two are left all are kept: the number says so.
    """
    device = timed_steps[0].step.device.type
    for timed in timed_steps:
        timed.warm_up()
        timed.own_seconds.clear()
    sampler.clear()
    end = time.perf_counter() + TIME_LIMIT[device] * len(timed_steps)
    kept: dict[int, tuple[float, ...]] = {}
    dropped: dict[int, tuple[float, ...]] = {}
    with Compilations() as compilations:
        while (number := len(kept) + len(dropped)) < ROUNDS[device] or (
            _width([*kept.values()]) > target and not agreement.any_rank(time.perf_counter() >= end)
        ):
            seconds, slowed = _round(timed_steps, number, sampler)
            (dropped if slowed else kept)[number] = seconds
    good = kept if len(kept) > 1 else kept | dropped
    for timed, series in zip(timed_steps, zip(*good.values(), strict=True), strict=True):
        timed.seconds, timed.compiled = list(series), compilations.reasons
        timed.own_seconds = [timed.own_seconds[number] for number in good]
    return len(dropped)


def _round(timed_steps: Sequence[TimedStep], number: int, sampler: NvmlSampler) -> tuple[tuple[float, ...], bool]:
    """One block of each, in an order that turns round from round to round."""
    order = range(len(timed_steps)) if number % 2 == 0 else reversed(range(len(timed_steps)))
    blocks = {i: timed_steps[i].block(number, sampler) for i in order}
    return tuple(blocks[i][0] for i in range(len(timed_steps))), any(slowed for _, slowed in blocks.values())


def _width(rounds: Sequence[tuple[float, ...]]) -> float:
    """The widest half-width of the intervals that are wanted, as a share."""
    case, *others = zip(*rounds, strict=True) if rounds else ((),)
    return max(log_half_width(case, other) for other in others) if others else log_half_width(case)


def block_seconds(
    call: Callable[[Any], object],
    batch: Any,
    steps: int,
    device: torch.device,
    midway: Callable[[], None] | None = None,
) -> float:
    """Wall seconds of `steps` calls between two synchronisations of the device, on the slowest rank. `midway` is called when
    half are made."""
    return agreement.largest(rank_seconds(call, batch, steps, device, midway))


def rank_seconds(
    call: Callable[[Any], object],
    batch: Any,
    steps: int,
    device: torch.device,
    midway: Callable[[], None] | None = None,
) -> float:
    """The same on this rank, which begins with the others."""
    synchronise(device)
    agreement.wait_for_all()
    start = time.perf_counter()
    for number in range(1, steps + 1):
        call(batch)
        if midway and number == -(-steps // 2):
            midway()
    synchronise(device)
    return time.perf_counter() - start
