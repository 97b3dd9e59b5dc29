"""Whether ranks that train together stay together, and average what they are to average.

All is exact but the errors of gradients. Those are of gradients and not of updates, for Adam hides a wrong factor, and without
clipping, which hides it, too. FP64 says what is right: one rank with the batch of all, in as many parts.
"""

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import torch
from torch import Tensor

from mpcore.data import Batch, Split
from mpcore.device import agreement
from mpcore.device.determinism import in_one_order, lacks_order
from mpcore.gate.limits import FP64_PARTS_ERROR
from mpcore.measure.collectives import sent
from mpcore.measure.errors import lacks_memory, one_sentence
from mpcore.measure.memory import free_memory
from mpcore.measure.observation import observe
from mpcore.measure.replicas import STEPS, Ranks, Trained, ranks_of, train, trained
from mpcore.measure.requirements import against_fp32, beyond_rounding, explained_by_rounding, says_conditioning
from mpcore.measure.setup import Setup, TimingSetup
from mpcore.measure.yardstick import relative_error, whole_rounding
from mpcore.precision import Inapplicable, Precision, PrecisionError, precisions
from mpcore.precision.pure import FP64
from mpcore.records import OWN_TRAINER, Parallel, Requirements
from mpcore.strategies import Strategy, strategies
from mpcore.trainers import trainers
from mpcore.training.of_workload import WorkloadStep
from mpcore.training.parts import rank_rows
from mpcore.training.step import TrainStep
from mpcore.workloads import WorkloadError

PARTS = 2
"""That each rank's batch goes through the model in, where errors are measured: only the last may be followed by a reduction."""
PATIENCE_SECONDS = 10.0
"""Of a rank that has no kernels of one order, for the others."""
OTHER_GRADIENTS = "one rank by itself computes other gradients in a second run, for its kernels add in any order"
Compared = tuple[Ranks, Trained, str | None]
_attempts = count()
NEVER_CLIPPED = 1e30
"""A norm: infinity over an infinite one would be no number."""


@dataclass(frozen=True)
class Joint:
    """Gradients of one rank with the batch of all in parts, in `reference`: FP64, or FP32 where that cannot run; and the errors
    of FP64 ranks. Each is None where that cannot run, and where another trainer spreads the step, which has no FP64.

    rounding: by the round-off of a format, what rounding alone does to these gradients; None where that cannot be had.
    """

    gradients: dict[str, Tensor]
    reference: str
    rounding: Callable[[float], float | None]
    fp64_error: float | None = None
    joint_error: float | None = None
    too_large: bool = False
    """Whether the batch in one piece needs more memory than there is."""


def measure_joint(setup: Setup, rows: Batch) -> Joint:
    """rows: of all ranks. Where FP64 fails, it fails on all of them."""
    joint: Joint | None = None
    try:
        joint = _joint(setup, rows, FP64)
    except (PrecisionError, WorkloadError) as error:
        if lacks_memory(error):  # this rank alone may: the others would wait for it
            raise
    if joint is None:
        return _joint(setup, rows, precisions["fp32"])
    if setup.case.trainer != OWN_TRAINER:
        return joint
    spread = _gradients(setup, PARTS, rank_rows(rows), strategies[setup.case.strategy](setup.device))
    joint = replace(joint, fp64_error=relative_error(spread, joint.gradients))
    return _in_one_piece(setup, rows, joint, spread)


def _in_one_piece(setup: Setup, rows: Batch, joint: Joint, spread: dict[str, Tensor]) -> Joint:
    """With the error of `spread` against the batch in one piece. One rank computes that alone, and waits for no other."""
    try:
        whole = _gradients(setup, 1, rows)
    except (PrecisionError, WorkloadError, torch.cuda.OutOfMemoryError) as error:
        if not lacks_memory(error):
            raise
        return replace(joint, too_large=True)
    same = relative_error(joint.gradients, whole) < FP64_PARTS_ERROR
    return replace(joint, joint_error=relative_error(spread, whole) if same else None)


def _joint(setup: Setup, rows: Batch, mode: type[Precision]) -> Joint:
    count = agreement.ranks()
    mixes = strategies[setup.case.strategy].mixes
    batch, parts = (side_by_side(rows, count), PARTS) if mixes else (rows, PARTS * count)
    new = functools.partial(_accumulating, setup, mode, parts)
    gradients = observe(new(), batch, updates=1).gradients
    return Joint(gradients, mode.name, functools.cache(functools.partial(_rounding, new, batch, gradients)))


def _rounding(new: Callable[[], TrainStep], batch: Batch, gradients: dict[str, Tensor], roundoff: float) -> float | None:
    try:
        return whole_rounding(new, batch, roundoff, gradients)
    except (Inapplicable, PrecisionError, WorkloadError) as error:  # as for one GPU, whose record says why
        if lacks_memory(error):
            raise
        return None


def side_by_side(rows: Batch, ranks: int) -> Batch:
    """In an order in which each part of the batch has that part of each rank."""

    def ordered(column: Tensor) -> Tensor:
        return column.unflatten(0, (ranks, PARTS, -1)).transpose(0, 1).flatten(0, 2)

    return {name: ordered(column) for name, column in rows.items()}


def measure_parallel(setup: TimingSetup, rows: Batch | None, joint: Joint | None) -> Parallel:
    """rows, joint: None of a step that exists already."""
    ranks, again, unrepeatable = ranks_of(setup), None, None
    if ranks.sharded:
        again = trained(train(setup))
        if ranks.trained.differs(again):
            ranks, again, unrepeatable = _in_one_order(setup, rows, ranks, again)
    averaged = {} if rows is None or joint is None else _averaged(setup, rank_rows(rows), joint)
    required = setup.requirements if rows is None or joint is None else _required(setup, joint, len(Split(rows)))
    return Parallel(
        **setup.fields | {"requirements": required},
        steps=STEPS,
        sharded=ranks.sharded,
        ranks=tuple(ranks.trained.states),
        again=tuple(again.states) if again else None,
        apart=ranks.trained.apart(again),
        unrepeatable=unrepeatable,
        planted=ranks.planted,
        collectives=ranks.collectives,
        alike=ranks.alike,
        reduction=ranks.reduced[0] if ranks.reduced else "",
        reduced=ranks.reduced[1] if ranks.reduced else None,
        **averaged,
    )


def _in_one_order(setup: TimingSetup, rows: Batch | None, ranks: Ranks, again: Trained) -> Compared:
    """Two trainings that differ, once more by kernels that add in one order; and why these differ, too, or cannot be had, where
    that is no fault of ranks. A step that exists already is taken to repeat, for a rank alone cannot be asked."""
    this = f"one order {next(_attempts)}"
    order: Callable[[], AbstractContextManager[None]] = in_one_order
    reason = None if rows is None else OTHER_GRADIENTS
    try:
        with in_one_order():
            ranks, again = ranks_of(setup), trained(train(setup))
    except Exception as error:
        if lacks_memory(error) or not _all_refused(this):
            raise
        reason = lacks_order(error) or f"by kernels that add in one order it fails: {one_sentence(error)}"
        order = nullcontext
    else:
        agreement.leave_word(this, "trained")
        if not ranks.trained.differs(again):
            return ranks, again, None
    if reason and rows is not None:
        with order():
            reason = None if _repeats_alone(setup, rank_rows(rows)) else reason
    return ranks, again, reason


def _all_refused(this: str) -> bool:
    """Whether no rank goes on, and waits for this one."""
    agreement.leave_word(this, "refused")
    found = agreement.words(this, PATIENCE_SECONDS)
    return [*found.values()] == ["refused"] * agreement.ranks()


def _required(setup: Setup, joint: Joint, rows: int) -> Requirements:
    """As of the errors of one GPU: wider where FP64 cannot run, or rounding alone does more than the usual cap."""
    workload, required = setup.modelled, setup.requirements
    if joint.reference != FP64.name:
        required = against_fp32(required, workload)
    if says_conditioning(workload, rows):
        return required
    roundoff = precisions[setup.case.precision].roundoff()
    rounding = joint.rounding(roundoff)
    return (
        required if rounding is None else beyond_rounding(required, explained_by_rounding(rounding, workload, roundoff, rows))
    )


def _averaged(setup: Setup, part: Batch, joint: Joint) -> dict[str, Any]:
    """What a step of the mode sends and comes to, whose batch goes through in parts."""
    mode = precisions[setup.case.precision]
    step = _in_parts(setup, mode)
    observed = observe(step, part, updates=1)
    reduced = step.strategy.reduced if isinstance(step, TrainStep) else None
    called = sent(step, part)
    del step
    losses = tuple(agreement.gathered(observed.loss))
    found: dict[str, Any] = {
        "reference": joint.reference,
        "losses": losses if observed.made else None,
        "mode_error": relative_error(observed.gradients, joint.gradients),
    }
    if setup.case.trainer != OWN_TRAINER:
        return found | {"accumulated": sum(each.elements for each in called)}
    return found | {
        "accumulated": sum(c.elements for c in called if c.operation == reduced[0]) if reduced else None,
        **_of_like(setup, mode, part, joint),
        "fp64_error": joint.fp64_error,
        "joint_error": joint.joint_error,
        "joint_too_large": joint.too_large,
        "settling": observed.skipped if mode.scales else None,
        "settling_alone": _settling_alone(setup, mode, part) if mode.scales else None,
    }


def _of_like(setup: Setup, mode: type[Precision], part: Batch, joint: Joint) -> dict[str, Any]:
    """What the strategy averages that this one is to be like, where there is one."""
    name = strategies[setup.case.strategy].like
    if name is None:
        return {}
    if joint.reference == mode.name:
        return {"like": name, "unlike": f"FP64 cannot run it, and against {joint.reference} itself errors are chance"}
    try:
        like = _accumulating(setup, mode, PARTS, strategies[name](setup.device))
        found = observe(like, part, updates=1).gradients
    except Inapplicable as error:  # as of a weight that no loss reaches, which only the other strategy must have averaged
        return {"like": name, "unlike": str(error)}
    return {"like": name, "like_error": relative_error(found, joint.gradients)}


def _settling_alone(setup: Setup, mode: type[Precision], part: Batch) -> int:
    """Steps that are skipped where each rank trains by itself, of the one that skips most."""
    return int(agreement.largest(observe(_accumulating(setup, mode, PARTS), part, updates=1).skipped))


def _repeats_alone(setup: TimingSetup, part: Batch) -> bool:
    """Whether a training without any other rank comes to the same updates twice, on each rank."""
    mode = precisions[setup.case.precision]
    first, second = (observe(_accumulating(setup, mode, PARTS), part, updates=STEPS).updates for _ in range(2))
    return not agreement.any_rank(any(not torch.equal(update, second[name]) for name, update in first.items()))


def _in_parts(setup: Setup, mode: type[Precision]) -> WorkloadStep:
    """A step of the case with dropout off and without clipping, by its trainer."""
    case, strategy = setup.case, strategies[setup.case.strategy](setup.device)
    if case.trainer == OWN_TRAINER:
        return _accumulating(setup, mode, PARTS, strategy)
    free_memory()
    workload = setup.modelled.with_recipe(accumulation=PARTS, max_norm=None)
    options: dict[str, Any] = {"seed": case.seed, "dropout": False, "strategy": strategy}
    return trainers[case.trainer]().step(workload, mode(keep_fp32=case.keep_fp32), setup.device, **options)


def _accumulating(setup: Setup, mode: type[Precision], parts: int, strategy: Strategy | None = None) -> TrainStep:
    """With dropout off. strategy: None for a step of one rank."""
    free_memory()
    precision = mode(keep_fp32=setup.case.keep_fp32, max_norm=NEVER_CLIPPED)
    options: dict[str, Any] = {"seed": setup.case.seed, "accumulate": parts, "dropout": False, "strategy": strategy}
    return TrainStep(setup.modelled, precision, setup.device, **options)


def _gradients(setup: Setup, parts: int, batch: Batch, strategy: Strategy | None = None) -> dict[str, Tensor]:
    """Of the first step, in FP64."""
    return observe(_accumulating(setup, FP64, parts, strategy), batch, updates=1).gradients
