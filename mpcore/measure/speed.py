"""The time and the memory of one training step, and what it does in that time.

The memory comes first, while nothing else is there, and the eager time. Then the case learns for some steps, so that a
step that is fast because it does nothing is found out. Then the learning rate is zero, so that weights and with them speed
stand still, and blocks are timed: of a captured step alone, for its blocks spread by a thousandth, of an eager one in turns
with its references, for there a drift of the machine must meet all alike.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import cycle, islice
from typing import Any

import torch

from mpcore.device import agreement
from mpcore.device.compilations import Compilations
from mpcore.device.hashes import hash_of
from mpcore.device.network import network
from mpcore.device.profiler import profiled_rank
from mpcore.measure.collectives import sent
from mpcore.measure.learning import EDGE, learning_losses
from mpcore.measure.memory import free_everything, free_memory, occupied_memory, peak_memory
from mpcore.measure.setup import TimingSetup
from mpcore.measure.timing import TimedStep, block_seconds, interleave
from mpcore.measure.work import check_format, dispatched, work_of
from mpcore.records import Blocks, Rank, RankTime, Reference, Speed, Work
from mpcore.training.base import Step

BATCHES = 2
"""Batches that the steps take turns on: few enough to be learned in the learning steps."""
EAGER_BLOCKS = 3
EAGER_SECONDS = 0.05
"""Of a block of eager steps beside a graph."""
CLOSE = 0.05
"""Within this of 1 a ratio is measured in turns, though both steps are captured."""


def measure_speed(setup: TimingSetup, references: Mapping[str, Reference | None], ceiling: float | None) -> tuple[Speed, Work]:
    """The time of a step, and what it does, which is counted on the way.

    references: by mode how it was measured alone, None where it is to take turns with the case. ceiling: FLOP/s of the mode's
    format.
    """
    free_everything()
    device = setup.device
    occupied = occupied_memory(device)
    step = setup.build()
    step.set_rate(0.0)
    batches = setup.batches_of(step)
    with Compilations() as compilations:
        counted = dispatched(step, batches[0])
        check_format(setup, counted)
        called = sent(step, batches[0]) if setup.case.spread else ()
        peaks = peak_memory(step, batches, occupied)
        learned = _learn(step, batches, launches=not setup.case.captured or device.type != "cuda")
    scale = step.scale_state()
    own = setup.timed(step)
    together = [name for name, alone in references.items() if alone is None]
    found, dropped = _time(setup, own, together)
    blocks, while_timed = own.blocks, own.compiled
    compiled = compilations.seen if setup.compiles else None
    if found and device.type == "cuda":  # what the GPU said was of all that took turns
        interleave([setup.timed(step)], math.inf, setup.sampler)
    gpu = setup.sampler.summary()
    remark = step.remark
    pool_bytes = step.pool_bytes
    profile, where = profiled_rank(partial(step, batches[0]), device)
    spread = _spread(setup, own, where, peaks[0]) if setup.case.spread else {}
    work = work_of(setup, step, counted, profile if device.type == "cuda" else None, compiled)
    for name, alone in references.items():
        if alone is not None:
            found[name] = _apart(setup, own, name, alone)
    del step, own  # makes room for those that had none beside it
    for name in together:
        if name not in found and (reference := _afterwards(setup, name)):
            found[name] = reference
    speed = Speed(
        **setup.fields,
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
        compilation=compiled and compiled.model_copy(update={"while_timed": tuple(while_timed)}),
        flops_per_step=sum(counted.flops.values()),
        low_precision_flops_share=counted.low_precision_share,
        peak_allocated_bytes=_most(peaks[0]),
        peak_reserved_bytes=_most(peaks[1]),
        **learned,
        collectives=called,
        **spread,
    )
    return speed, work


def _learn(step: Step, batches: Sequence[Any], *, launches: bool) -> dict[str, Any]:
    """At learning rate 0, eager steps are timed, unless Python `launches` all steps; then it learns, by the case's own
    execution."""
    eager = None if launches else _eager_blocks(step, batches)
    losses = learning_losses(step, batches)
    return {
        "eager": eager,
        "loss_before": statistics.fmean(losses[:EDGE]),
        "loss_after": statistics.fmean(losses[-EDGE:]),
    }


def _eager_blocks(step: Step, batches: Sequence[Any]) -> Blocks:
    steps = max(1, round(EAGER_SECONDS / block_seconds(step.launch, batches[0], 1, step.device)))
    turns = islice(cycle(batches), EAGER_BLOCKS)
    return Blocks(steps=steps, seconds=tuple(block_seconds(step.launch, batch, steps, step.device) for batch in turns))


def _time(setup: TimingSetup, own: TimedStep, together: Sequence[str]) -> tuple[dict[str, Reference], int]:
    """The case in turns with the references `together`, or alone where there are none or no memory for them."""
    turns = setup.time_beside(own, together) if together else None
    if turns is not None:
        return turns
    free_memory()
    return {}, setup.time_alone(own)


def _most(peak: int | None) -> int | None:
    """On the rank that needs most."""
    return None if peak is None else int(agreement.largest(peak))


def _spread(setup: TimingSetup, own: TimedStep, where: RankTime, peak: int | None) -> dict[str, Any]:
    """What a step on one GPU has not: the times and the memory of each rank, and what they talk by."""
    weights = own.step.weights() if "weights" in own.step.capabilities else {}
    rank = Rank(
        rank=agreement.rank(),
        blocks=own.own_blocks,
        weights_hash=hash_of(weights.values()),
        time=where,
        peak_allocated_bytes=peak,
    )
    return {"ranks": tuple(agreement.gathered(rank)), "network": network(setup.device)}


def _apart(setup: TimingSetup, own: TimedStep, name: str, alone: Reference) -> Reference:
    """A reference that was measured alone takes turns with the case where the ratio is close to 1, if both fit into memory."""
    if abs(math.log(alone.blocks.step_seconds / own.blocks.step_seconds)) < CLOSE:
        turns = setup.time_beside(setup.timed(own.step), [name])
        if turns is not None:
            return turns[0][name]
        free_memory()
    return alone


def _afterwards(setup: TimingSetup, name: str) -> Reference | None:
    """A reference that did not fit beside the case; None where it does not fit by itself either."""
    free_memory()
    try:
        other = setup.timed_step(name)
        dropped = setup.time_alone(other)
    except torch.cuda.OutOfMemoryError:
        return None
    return Reference(blocks=other.blocks, rounds=None, dropped_blocks=dropped)
