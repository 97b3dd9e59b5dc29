"""Of how many tensors a wrong gradient is found: each is made wrong in its turn, and judged as a measurement would be."""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from mpcore.data import Batch
from mpcore.measure.observation import observe
from mpcore.measure.setup import Setup
from mpcore.measure.yardstick import Yardstick
from mpcore.records import GradientProof, Numerics

Wrong = Callable[[Tensor, Tensor], Tensor]
"""A gradient, and the same tensor's of another batch, to what is in its place."""
SHARES = (0.99, 0.95, 0.9, 0.5)


def _times(share: float) -> Wrong:
    return lambda gradient, _: share * gradient


FAULTS: Mapping[str, Wrong] = {
    **{f"times {share:g}": _times(share) for share in SHARES},
    "zero": _times(0.0),
    "of another batch": lambda _, other: other,
}


def found_gradients(setup: Setup, numerics: Numerics, batch: Batch, other: Batch, yardstick: Yardstick) -> GradientProof:
    """numerics: what was measured of the case on `batch`, without a fault, against `yardstick`. other: a batch that a stale
    gradient is of. Needs numerics by tensor."""
    right, stale = (
        observe(
            setup.train_step(dropout=False),
            rows,
            1,
            learning_rate=yardstick.observed.learning_rate,
            drawn=yardstick.draws,
            kept_on=yardstick.kept_on,
        ).gradients
        for rows in (batch, other)
    )
    truth = yardstick.observed.gradients
    judged = (t for t in numerics.tensors or () if t.gradient_error is not None or t.norm_share)
    tensors = [t for t in judged if truth[t.name].any()]
    limits = {t.name: t.gradient_limit for t in tensors}
    whole, cap = _Sum(right, truth), numerics.requirements.gradient_error or math.inf
    found = dict.fromkeys(FAULTS, 0)
    for name, limit in limits.items():
        for called, wrong in FAULTS.items():
            gradient = wrong(right.get(name, torch.zeros_like(truth[name])), stale.get(name, torch.zeros_like(truth[name])))
            difference = float((gradient - truth[name]).square().sum())
            error = math.sqrt(difference) / (float(truth[name].norm()) or math.inf)
            by_tensor = limit is not None and (error > limit or error >= 1)
            found[called] += by_tensor or whole.with_another(name, difference) > cap
    return GradientProof(case=setup.case, tensors=max(1, len(limits)), found=found)


class _Sum:
    """The error of all gradients together, if one of them were another."""

    def __init__(self, gradients: Mapping[str, Tensor], truth: Mapping[str, Tensor]) -> None:
        self._squares = {n: float((gradients.get(n, torch.zeros_like(t)) - t).square().sum()) for n, t in truth.items()}
        self._norm = sum(float(t.square().sum()) for t in truth.values()) or 1.0

    def with_another(self, name: str, square: float) -> float:
        return math.sqrt((sum(self._squares.values()) - self._squares[name] + square) / self._norm)
