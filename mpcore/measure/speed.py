"""The time and the memory of one training step.

The memory comes first, while nothing else is there. Then the case learns for some steps, so that a step that is fast
because it does nothing is found out. Then the learning rate is zero, so that weights and with them speed stand still, and
blocks of the case and of its references take turns, A B B A, so that a drift of the machine meets all alike.
"""

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from itertools import cycle, islice

import torch

from mpcore.data import Batch
from mpcore.flops import FlopCount
from mpcore.hardware import synchronise
from mpcore.records import Blocks, Case, Speed
from mpcore.train import TrainStep

LEARNING_STEPS = 50
EDGE = 5
"""Losses at either end of the learning steps that are averaged."""
WARM_UP_STEPS = 5
BLOCK_SECONDS = 0.1
ROUNDS = {"cuda": 10, "cpu": 4}
BATCHES = 2
"""Batches that the steps take turns on: few enough to be learned in the learning steps."""


def measure_speed(case: Case, references: Sequence[str], build: Callable[[Case], TrainStep], batches: Sequence[Batch]) -> Speed:
    """`build` makes the step of a case; `references` are the modes to take turns with."""
    free_memory()
    device = next(iter(batches[0].values())).device
    occupied = torch.cuda.memory_allocated(device) if device.type == "cuda" else 0
    step = build(case)
    with FlopCount() as flops:
        first = step(batches[0])
    allocated, reserved = _peak_memory(step, batches, occupied)
    losses = torch.stack([first, *(step(b) for b in islice(cycle(batches), LEARNING_STEPS - 1))]).tolist()
    state = step.precision.state()

    contestants = {case.precision: step}
    for reference in references:
        contestants[reference] = build(case.in_precision(reference))
    timed = _alternate(contestants, batches, ROUNDS[device.type])
    return Speed(
        case=case,
        workload_version=step.workload.version,
        device=device.type,
        batch_size=len(next(iter(batches[0].values()))),
        unit=step.workload.unit,
        blocks=timed[case.precision],
        references={name: timed[name] for name in references},
        peak_allocated_bytes=allocated,
        peak_reserved_bytes=reserved,
        loss_before=statistics.fmean(losses[:EDGE]),
        loss_after=statistics.fmean(losses[-EDGE:]),
        loss_scale=state.loss_scale,
        skipped_steps=state.skipped_steps,
        flops_per_step=flops.total,
        half_flops_share=flops.half_share,
    )


def free_memory() -> None:
    """Gives back what dead models hold: hooks tie them into cycles that wait for the collector."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _peak_memory(step: TrainStep, batches: Sequence[Batch], occupied: int) -> tuple[int | None, int | None]:
    """Bytes allocated, less those that were `occupied` before the step was built, and bytes reserved, at the peak of a
    step; None each on a CPU, where nobody counts them."""
    if step.device.type != "cuda":
        return None, None
    torch.cuda.reset_peak_memory_stats(step.device)
    for batch in batches:
        step(batch)
    synchronise(step.device)
    return torch.cuda.max_memory_allocated(step.device) - occupied, torch.cuda.max_memory_reserved(step.device)


def _alternate(contestants: dict[str, TrainStep], batches: Sequence[Batch], rounds: int) -> dict[str, Blocks]:
    """The contestants' blocks, one of each a round, in an order that turns round after each."""
    steps: dict[str, int] = {}
    for name, step in contestants.items():
        step.precision.set_learning_rate(0.0)
        _block(step, batches, WARM_UP_STEPS)
        seconds = _block(step, batches, WARM_UP_STEPS) / WARM_UP_STEPS
        steps[name] = max(1, round(BLOCK_SECONDS / seconds))
    seconds_of: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds):
        order = list(contestants.items())
        for name, step in order if number % 2 == 0 else reversed(order):
            seconds_of[name].append(_block(step, batches, steps[name]))
    return {name: Blocks(steps=steps[name], seconds=tuple(seconds)) for name, seconds in seconds_of.items()}


def _block(step: TrainStep, batches: Sequence[Batch], steps: int) -> float:
    """Wall seconds of `steps` steps between two synchronisations."""
    synchronise(step.device)
    start = time.perf_counter()
    for batch in islice(cycle(batches), steps):
        step(batch)
    synchronise(step.device)
    return time.perf_counter() - start
