"""What one rank computes with the batch of all ranks: averaged gradients are held against that."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from mpcore.data import Batch
from mpcore.device import agreement
from mpcore.gate.limits import FP64_PARTS_ERROR
from mpcore.measure.errors import lacks_memory
from mpcore.measure.memory import free_memory
from mpcore.measure.observation import observe
from mpcore.measure.setup import Setup
from mpcore.measure.yardstick import relative_error, whole_rounding
from mpcore.precision import Inapplicable, Precision, PrecisionError, precisions
from mpcore.precision.pure import FP64
from mpcore.records import OWN_TRAINER
from mpcore.strategies import Strategy, strategies
from mpcore.training.parts import rank_rows
from mpcore.training.step import TrainStep
from mpcore.workloads import WorkloadError

PARTS = 2
"""That each rank's batch goes through the model in, where errors are measured: only the last may be followed by a reduction."""
NEVER_CLIPPED = 1e30
"""A norm: infinity over an infinite one would be no number."""


@dataclass(frozen=True)
class SpreadErrors:
    """Of the gradient that ranks average in FP64: against that of one rank with the batch of all in parts, and in one piece, at
    most. Each is None where it cannot be had."""

    fp64_error: float | None = None
    joint_error: float | None = None


@dataclass(frozen=True)
class Joint:
    """Gradients of one rank with the batch of all in parts, in `reference`: FP64, or FP32 where that cannot run. All strategies
    that average alike are held against one.

    rounding: by the round-off of a format, what rounding alone does to these gradients; None where that cannot be had.
    whole_error: how far those with the batch in one piece are from these; None where they are others in FP64, too, where that
    cannot run or is too large, and where another trainer spreads the step, which has no FP64.
    too_large: whether the batch in one piece needs more memory than there is.
    in_one: gradients where each rank's batch is one part; None where a part needs more memory than there is.
    """

    rows: Batch
    gradients: dict[str, Tensor]
    reference: str
    rounding: Callable[[float], float | None]
    whole_error: float | None = None
    too_large: bool = False
    in_one: dict[str, Tensor] | None = None
    mode_errors: dict[tuple[str, str], float] = field(default_factory=dict)
    """By strategy and precision: of the gradient that our own step averages."""
    _spread: dict[str, SpreadErrors] = field(default_factory=dict)

    def spread_errors(self, setup: Setup) -> SpreadErrors:
        """Of the strategy of `setup`. To be asked on each rank."""
        case = setup.case
        if self.reference != FP64.name or case.trainer != OWN_TRAINER:
            return SpreadErrors()
        if agreement.any_rank(case.strategy not in self._spread):  # one may have failed where others had not
            spread = _gradients(setup, FP64, PARTS, rank_rows(self.rows), strategies[case.strategy](setup.device))
            error = relative_error(spread, self.gradients)
            self._spread[case.strategy] = SpreadErrors(error, None if self.whole_error is None else error + self.whole_error)
        return self._spread[case.strategy]


def measure_joint(setup: Setup, rows: Batch) -> Joint:
    """rows: of all ranks. Where FP64 fails, it fails on all of them."""
    try:
        joint = _in_parts(setup, rows, FP64)
    except (PrecisionError, WorkloadError) as error:
        if lacks_memory(error):  # this rank alone may: the others would wait for it
            raise
        joint = None
    if joint is None:  # not where the error is caught, or it would be the cause of the next one
        joint = _in_parts(setup, rows, precisions["fp32"])
    elif setup.case.trainer == OWN_TRAINER:
        joint = _with_whole(setup, joint)
    return _with_one(setup, joint)


def side_by_side(rows: Batch, ranks: int, parts: int) -> Batch:
    """In an order in which each part of the batch has that part of each rank."""

    def ordered(column: Tensor) -> Tensor:
        return column.unflatten(0, (ranks, parts, -1)).transpose(0, 1).flatten(0, 2)

    return {name: ordered(column) for name, column in rows.items()}


def accumulating(setup: Setup, mode: type[Precision], parts: int, strategy: Strategy | None = None) -> TrainStep:
    """With dropout off and without clipping. strategy: None for a step of one rank."""
    free_memory()
    precision = mode(keep_fp32=setup.case.keep_fp32, max_norm=NEVER_CLIPPED)
    options: dict[str, Any] = {"seed": setup.case.seed, "accumulate": parts, "dropout": False, "strategy": strategy}
    return TrainStep(setup.modelled, precision, setup.device, **options)


def _on_one_rank(setup: Setup, rows: Batch, parts: int) -> tuple[Batch, int]:
    """The batch of all, and in how many parts it goes through one rank where that of each rank does in `parts`."""
    count = agreement.ranks()
    mixes = strategies[setup.case.strategy].mixes
    return (side_by_side(rows, count, parts), parts) if mixes else (rows, parts * count)


def _in_parts(setup: Setup, rows: Batch, mode: type[Precision]) -> Joint:
    batch, parts = _on_one_rank(setup, rows, PARTS)
    new = functools.partial(accumulating, setup, mode, parts)
    gradients = observe(new(), batch, updates=1).gradients
    return Joint(rows, gradients, mode.name, functools.cache(functools.partial(_rounding, new, batch, gradients)))


def _rounding(new: Callable[[], TrainStep], batch: Batch, gradients: dict[str, Tensor], roundoff: float) -> float | None:
    try:
        return whole_rounding(new, batch, roundoff, gradients)
    except (Inapplicable, PrecisionError, WorkloadError) as error:  # as for one GPU, whose record says why
        if lacks_memory(error):
            raise
        return None


def _with_one(setup: Setup, joint: Joint) -> Joint:
    mode = FP64 if joint.reference == FP64.name else precisions[joint.reference]
    batch, parts = _on_one_rank(setup, joint.rows, 1)
    found = _alone(setup, mode, parts, batch)
    same = found is not None and relative_error(found, joint.gradients) < FP64_PARTS_ERROR
    return replace(joint, in_one=joint.gradients if same else found)


def _with_whole(setup: Setup, joint: Joint) -> Joint:
    whole = _alone(setup, FP64, 1, joint.rows)
    if whole is None:
        return replace(joint, too_large=True)
    apart = relative_error(whole, joint.gradients)
    return replace(joint, whole_error=apart if apart < FP64_PARTS_ERROR else None)


def _alone(setup: Setup, mode: type[Precision], parts: int, batch: Batch) -> dict[str, Tensor] | None:
    """Gradients of one rank, which waits for no other; None where it needs more memory than there is."""
    try:
        return _gradients(setup, mode, parts, batch)
    except (PrecisionError, WorkloadError, torch.cuda.OutOfMemoryError) as error:
        if not lacks_memory(error):
            raise
        return None


def _gradients(
    setup: Setup, mode: type[Precision], parts: int, batch: Batch, strategy: Strategy | None = None
) -> dict[str, Tensor]:
    """Of the first step."""
    return observe(accumulating(setup, mode, parts, strategy), batch, updates=1).gradients
