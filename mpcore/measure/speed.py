"""The time and the memory of one training step, and what it does in that time.

The memory comes first, while nothing else is there, and the eager time. Then the case learns for some steps, so that a step
that is fast because it does nothing is found out. Then the learning rate is zero, so that weights and with them speed stand
still, and blocks are timed. A captured step is timed alone, for its blocks spread by a thousandth. An eager one takes turns
with its references, for a drift of the machine must meet all alike.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import cycle, islice
from typing import Any

from mpcore.device import agreement
from mpcore.device.compilations import Compilations
from mpcore.device.dispatch import Dispatch
from mpcore.device.hashes import hash_of
from mpcore.device.network import network
from mpcore.device.profiler import profiled_rank
from mpcore.measure.collectives import sent
from mpcore.measure.errors import CASE_ERRORS, lacks_memory
from mpcore.measure.learning import EDGE, learning_losses
from mpcore.measure.memory import free_everything, free_memory, occupied_memory, peak_memory
from mpcore.measure.setup import TimingSetup
from mpcore.measure.timing import TimedStep, block_seconds, interleave
from mpcore.measure.work import check_format, dispatched, work_of
from mpcore.records import Blocks, Compilation, Profile, Rank, RankTime, Reference, Speed, Work
from mpcore.training.base import Step

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
    occupied = occupied_memory(setup.device)
    step = setup.build()
    with Compilations() as compilations:
        counted, peak, prepared = _prepare(setup, step, occupied, compilations)
    own = setup.timed(step)
    together = [name for name, alone in references.items() if alone is None]
    timed, found = _time(setup, own, together)
    compiled = compilations.found(asked=setup.compiles)
    known = prepared | timed | _seen_while_timed(compiled, own)
    profiled, work = _profile(setup, own, counted, compiled, peak)
    found |= {name: _apart(setup, own, name, alone) for name, alone in references.items() if alone is not None}
    del step, own  # makes room for those that had none beside it
    later = {name: _afterwards(setup, name) for name in together if name not in found}
    found |= {name: reference for name, reference in later.items() if reference is not None}
    found = {name: found[name] for name in references if name in found}
    return Speed(**setup.fields, **known, **profiled, references=found, ceiling_flops=ceiling), work


def _prepare(
    setup: TimingSetup, step: Step, occupied: tuple[int, int], compilations: Compilations
) -> tuple[Dispatch, int | None, dict[str, Any]]:
    """What is known before any block is timed: what the step dispatches, its peak on this rank, and fields of a `Speed`."""
    step.set_rate(0.0)
    batches = setup.batches_of(step)
    counted = dispatched(step, batches[0])
    compilations.note_unasked()
    check_format(setup, counted)
    called = sent(step, batches[0]) if setup.case.spread else ()
    allocated, reserved = peak_memory(step, batches, occupied)
    share = setup.requirements.learned_share
    learned = _learn(step, batches, share, launches=not setup.case.captured or setup.device.type != "cuda")
    scale = step.scale_state()
    return (
        counted,
        allocated,
        {
            "flops_per_step": sum(counted.flops.values()),
            "low_precision_flops_share": counted.low_precision_share,
            "collectives": called,
            "peak_allocated_bytes": _most(allocated),
            "peak_reserved_bytes": _most(reserved),
            "loss_scale": scale.loss_scale,
            "skipped_steps": scale.skipped_steps,
            **learned,
        },
    )


def _learn(step: Step, batches: Sequence[Any], share: float, *, launches: bool) -> dict[str, Any]:
    """At learning rate 0, eager steps are timed, unless Python `launches` all steps; then it learns, by the case's own
    execution."""
    eager = None if launches else _eager_blocks(step, batches)
    losses = learning_losses(step, batches, share)
    return {
        "eager": eager,
        "loss_before": statistics.fmean(losses[:EDGE]),
        "loss_after": statistics.fmean(losses[-EDGE:]),
    }


def _eager_blocks(step: Step, batches: Sequence[Any]) -> Blocks:
    steps = max(1, round(EAGER_SECONDS / block_seconds(step.launch, batches[0], 1, step.device)))
    turns = islice(cycle(batches), EAGER_BLOCKS)
    return Blocks(steps=steps, seconds=tuple(block_seconds(step.launch, batch, steps, step.device) for batch in turns))


def _time(setup: TimingSetup, own: TimedStep, together: Sequence[str]) -> tuple[dict[str, Any], dict[str, Reference]]:
    """Fields of a `Speed`; and references, of the case in turns with those `together`, if there is memory for them."""
    turns = setup.time_beside(own, together) if together else None
    if turns is None:
        free_memory()
    found, dropped = turns or ({}, setup.time_alone(own))
    timed = {"blocks": own.blocks, "dropped_blocks": dropped}
    if found and setup.device.type == "cuda":  # what the GPU said was of all that took turns
        interleave([setup.timed(own.step)], math.inf, setup.sampler)
    return timed | {"gpu": setup.sampler.summary(), "remark": own.step.remark, "pool_bytes": own.step.pool_bytes}, found


def _seen_while_timed(compiled: Compilation | None, own: TimedStep) -> dict[str, Any]:
    return {"compilation": compiled and compiled.model_copy(update={"while_timed": tuple(own.compiled)})}


def _profile(
    setup: TimingSetup, own: TimedStep, counted: Dispatch, compiled: Compilation | None, peak: int | None
) -> tuple[dict[str, Any], Work]:
    """Fields of a `Speed`; and what a step does, its kernels among it."""
    profile, where = profiled_rank(partial(own.step, own.batches[0]), setup.device)
    spread = _spread(setup, own, where, peak) if setup.case.spread else {}
    on_gpu = setup.device.type == "cuda"
    return {"profile": _of_least_waiting(profile, where), **spread}, work_of(
        setup, own.step, counted, profile if on_gpu else None, compiled
    )


def _of_least_waiting(profile: Profile, where: RankTime) -> Profile:
    """The profile of the rank whose collectives take least time: those of all others hold their waits for it, too."""
    return min(agreement.gathered((where.waits, agreement.rank(), profile)))[-1]


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
    except CASE_ERRORS as error:
        if not lacks_memory(error):
            raise
        return None
    return Reference(blocks=other.blocks, rounds=None, dropped_blocks=dropped)
