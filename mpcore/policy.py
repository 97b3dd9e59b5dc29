"""Margins and limits: what the gate lets pass."""

import math
from dataclasses import dataclass

ERROR_LIMIT = 0.5
"""A gradient that is off by half its length is of no use, whatever the format."""
LOSS_ROUNDOFFS = 16.0
UPDATE_LIMIT = 0.05
"""Adam divides by the size of a gradient, so that entries which are nothing but noise count like the others: in FP32 that
made up to 0.016 of the update (ResNet-18 on an H200). Without masters it is 0.4 and more."""
FLUSHED_LIMIT = 0.01
LEARNED = 0.95
"""What may be left of the loss after fifty steps on two batches. Dropout alone moves the mean of five losses by less; the
real workloads end at 0.73 and below."""
DRIFT_LIMIT = 0.02
"""Graphs repeat within half a per cent while a workload is measured; ratios within 5 % of 1 are taken in turns."""
DROPPED_LIMIT = 0.25
"""Blocks in which the GPU was slowed down, for each good one, that leave a case decided."""


@dataclass(frozen=True)
class NumericsLimits:
    """Upper limits of the errors in `Numerics`, None where there is none, and the bounds of the 16-bit share."""

    loss: float
    gradient: float
    update: float | None
    flushed: float | None
    half_share: tuple[float, float]


def numerics_limits(
    roundoff: float, conditioning: float, flips: float = 0.0, *, masters: bool, scales: bool, half_share: float
) -> NumericsLimits:
    """Caps by the round-off of the format and the conditioning of the workload; `flips`, by the root of the round-off.

    Without FP32 masters updates are known to be lost, and without a scale gradients are known to be flushed: there is
    no limit then. A mode that is to compute in FP32 must not compute in 16 bits at all.
    """
    gradient = min(ERROR_LIMIT, conditioning * roundoff + flips * math.sqrt(roundoff))
    return NumericsLimits(
        loss=min(ERROR_LIMIT, LOSS_ROUNDOFFS * roundoff),
        gradient=gradient,
        update=min(ERROR_LIMIT, max(UPDATE_LIMIT, 2 * gradient)) if masters else None,
        flushed=FLUSHED_LIMIT if scales else None,
        half_share=(half_share, 1.0 if half_share else 0.0),
    )
