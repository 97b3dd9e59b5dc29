"""The time and the memory of one training step, and what it does in that time.

The memory comes first, while nothing else is there, and the eager time. Then the case learns for some steps, so that a
step that is fast because it does nothing is found out. Then the learning rate is zero, so that weights and with them speed
stand still, and blocks are timed: of a captured step alone, for its blocks spread by a thousandth, of an eager one in turns
with its references, for there a drift of the machine must meet all alike.
"""

import gc
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from typing import Any

import torch

from mpcore.data import Batch
from mpcore.execution import Eager
from mpcore.flops import FlopCount
from mpcore.hardware import GpuWatch, synchronise
from mpcore.measure.about import about
from mpcore.measure.timing import Contestant, block_seconds, take_turns
from mpcore.policy import has_learnt
from mpcore.profile import profiled
from mpcore.records import Blocks, Case, Reference, Speed
from mpcore.train import TrainStep, schedule

LEARNING_STEPS, LEAST_STEPS = 100, 15
"""At most, and at least where the loss has fallen as far as it must."""
EDGE = 5
"""Losses before and at the end of the learning steps, that are averaged."""
BATCHES = 2
"""Batches that the steps take turns on: few enough to be learned in the learning steps."""
EAGER_BLOCKS = 3
EAGER_SECONDS = 0.05
"""Of a block of eager steps beside a graph."""
CLOSE = 0.05
"""Within this of 1 a ratio is measured in turns, though both steps are captured."""

Build = Callable[[Case], TrainStep]


@dataclass(frozen=True)
class Stand:
    """Where one case is measured. `build` makes the step of a case; the interval shall be `target` to either side."""

    case: Case
    build: Build
    batches: Sequence[Batch]
    watch: GpuWatch
    target: float

    @property
    def device(self) -> torch.device:
        return next(iter(self.batches[0].values())).device

    def contestant(self, precision: str) -> Contestant:
        return Contestant(self.build(self.case.in_precision(precision)), self.batches)

    def alone(self, contestant: Contestant) -> int:
        """Returns the number of rounds that were dropped."""
        return take_turns([contestant], self.target, self.watch)

    def in_turns(self, own: Contestant, names: Sequence[str]) -> tuple[dict[str, Reference], int] | None:
        """The references and the number of rounds dropped; None where the steps do not fit into memory together."""
        try:
            others = [self.contestant(name) for name in names]
            dropped = take_turns([own, *others], self.target, self.watch)
        except torch.cuda.OutOfMemoryError:
            return None
        pairs = zip(names, others, strict=True)
        found = {name: Reference(blocks=other.blocks, rounds=own.blocks, dropped_blocks=dropped) for name, other in pairs}
        return found, dropped


def measure_speed(stand: Stand, references: Mapping[str, Reference | None], ceiling: float | None) -> Speed:
    """`references`: by mode how it was measured alone, None where it is to take turns with the case. ceiling: FLOP/s of
    the mode's format."""
    free_memory()
    device = stand.device
    occupied = _occupied(device)
    step = stand.build(stand.case)
    workload = step.workload
    learned = _learn(step, stand.batches, occupied, launches=stand.case.execution == Eager.name or device.type != "cuda")
    scale = step.precision.state()
    own = Contestant(step, stand.batches)
    together = [name for name, alone in references.items() if alone is None]
    found, dropped = _time(stand, own, together)
    blocks = own.blocks
    if found and device.type == "cuda":  # what the GPU said was of all that took turns
        take_turns([Contestant(step, stand.batches)], math.inf, stand.watch)
    gpu = stand.watch.state()
    remark = step.precision.remark
    pool_bytes, profile = step.pool_bytes, profiled(partial(step, stand.batches[0]), device)
    for name, alone in references.items():
        if alone is not None:
            found[name] = _apart(stand, own, name, alone)
    del step, own  # makes room for those that had none beside it
    for name in together:
        if name not in found and (reference := _afterwards(stand, name)):
            found[name] = reference
    return Speed(
        **about(stand.case, workload, device),
        remark=remark,
        blocks=blocks,
        references={name: found[name] for name in references if name in found},
        pool_bytes=pool_bytes,
        loss_scale=scale.loss_scale,
        skipped_steps=scale.skipped_steps,
        ceiling_flops=ceiling,
        profile=profile,
        gpu=gpu,
        dropped_blocks=dropped,
        **learned,
    )


def free_memory() -> None:
    """Gives back what dead models hold: hooks tie them into cycles that wait for the collector."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _learn(step: TrainStep, batches: Sequence[Batch], occupied: tuple[int, int], *, launches: bool) -> dict[str, Any]:
    """At learning rate 0, eager steps are counted, weighed and, unless Python `launches` all steps, timed; then it learns, by
    the case's own execution."""
    step.set_learning_rate(0.0)
    with FlopCount() as flops:
        step.launch(batches[0])
    allocated, reserved = _peak_memory(step, batches, occupied)
    eager = None if launches else _eager_blocks(step, batches)
    losses = _losses(step, batches)
    return {
        "flops_per_step": flops.total,
        "half_flops_share": flops.half_share,
        "peak_allocated_bytes": allocated,
        "peak_reserved_bytes": reserved,
        "eager": eager,
        "loss_before": statistics.fmean(losses[:EDGE]),
        "loss_after": statistics.fmean(losses[-EDGE:]),
    }


def _losses(step: TrainStep, batches: Sequence[Batch]) -> list[float]:
    """First of steps at learning rate 0, then of learning steps, which begin as a training does: with an optimiser that
    remembers nothing, and a rate that rises and falls. At a constant rate BERT swings up before it learns, and an end below
    that is not learnt; after many gradients from the same place Adam moves as far."""
    losses: list[float] = []
    for number, batch in enumerate(islice(cycle(batches), EDGE + LEARNING_STEPS), 1):
        if number == EDGE + 1:
            step.precision.forget()
        share = schedule(max(number - EDGE, 0), LEARNING_STEPS)
        step.set_learning_rate(step.workload.recipe.learning_rate * share)
        losses.append(step(batch).item())
        if number >= EDGE + LEAST_STEPS and has_learnt(statistics.fmean(losses[:EDGE]), statistics.fmean(losses[-EDGE:])):
            break
    return losses


def _occupied(device: torch.device) -> tuple[int, int]:
    """Bytes allocated and reserved now."""
    if device.type != "cuda":
        return 0, 0
    return torch.cuda.memory_allocated(device), torch.cuda.memory_reserved(device)


def _peak_memory(step: TrainStep, batches: Sequence[Batch], occupied: tuple[int, int]) -> tuple[int | None, int | None]:
    """Bytes allocated and bytes reserved at the peak of a step, less those that were `occupied` before it was built; None
    each on a CPU, where nobody counts them."""
    device = step.device
    if device.type != "cuda":
        return None, None
    step.launch(batches[0])  # what is compiled is compiled now
    torch.cuda.reset_peak_memory_stats(device)
    for batch in batches:
        step.launch(batch)
    synchronise(device)
    allocated, reserved = torch.cuda.max_memory_allocated(device), torch.cuda.max_memory_reserved(device)
    return allocated - occupied[0], reserved - occupied[1]


def _eager_blocks(step: TrainStep, batches: Sequence[Batch]) -> Blocks:
    steps = max(1, round(EAGER_SECONDS / block_seconds(step.launch, batches[0], 1, step.device)))
    turns = islice(cycle(batches), EAGER_BLOCKS)
    return Blocks(steps=steps, seconds=tuple(block_seconds(step.launch, batch, steps, step.device) for batch in turns))


def _time(stand: Stand, own: Contestant, together: Sequence[str]) -> tuple[dict[str, Reference], int]:
    """The case in turns with the references `together`, or alone where there are none or no memory for them."""
    turns = stand.in_turns(own, together) if together else None
    if turns is not None:
        return turns
    free_memory()
    return {}, stand.alone(own)


def _apart(stand: Stand, own: Contestant, name: str, alone: Reference) -> Reference:
    """A reference that was measured alone takes turns with the case where the ratio is close to 1, if both fit into memory."""
    if abs(math.log(alone.blocks.step_seconds / own.blocks.step_seconds)) < CLOSE:
        turns = stand.in_turns(Contestant(own.step, stand.batches), [name])
        if turns is not None:
            return turns[0][name]
        free_memory()
    return alone


def _afterwards(stand: Stand, name: str) -> Reference | None:
    """A reference that did not fit beside the case; None where it does not fit by itself either."""
    free_memory()
    try:
        other = stand.contestant(name)
        dropped = stand.alone(other)
    except torch.cuda.OutOfMemoryError:
        return None
    return Reference(blocks=other.blocks, rounds=None, dropped_blocks=dropped)
