"""Where a series of figures changed, and stayed so. Pure statistics, without torch.

Segments of constant mean, by the sum of squares with a penalty for each change, as `ruptures` finds them. Source: Killick,
Fearnhead and Eckley, "Optimal detection of changepoints with a linear computational cost", JASA 107, 2012. `ruptures` finds
them. Figures above 0 are compared on the scale of logarithms, in units of their own noise, that neighbours tell.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpcore.gate.limits import TREND_LEAST_CHANGE, TREND_LEAST_NOISE, TREND_LEAST_RUNS, TREND_PENALTY

Array = NDArray[np.float64]
MAD = 1.4826
"""Standard deviations of a normal distribution in its median absolute deviation."""
FAR = 5.0
"""Noises from its neighbours, from where on a single figure is an odd one, and no change."""
NEIGHBOURS = 5


@dataclass(frozen=True)
class ChangePoint:
    """From `index` on figures are other ones: their means before and after, up to the changes next to it. ratio: None where a
    figure is not above 0."""

    index: int
    before: float
    after: float

    @property
    def ratio(self) -> float | None:
        return self.after / self.before if self.before > 0 and self.after > 0 else None


def change_points(figures: Sequence[float]) -> list[ChangePoint]:
    """In the order of the series. None in a series too short to have two halves, and none of less than half a per cent."""
    values = np.asarray(figures, dtype=np.float64)
    if len(values) < 2 * TREND_LEAST_RUNS or not np.ptp(values):
        return []
    scaled, noise = _scaled(values)
    scaled = _without_odd_ones(scaled, noise)
    found = []
    ends = _placed(scaled, _ends(scaled / noise))
    for start, change, end in zip([0, *ends], ends, [*ends[1:], len(values)], strict=False):
        before, after = float(scaled[start:change].mean()), float(scaled[change:end].mean())
        if abs(after - before) >= TREND_LEAST_CHANGE:
            found.append(ChangePoint(change, float(np.median(values[start:change])), float(np.median(values[change:end]))))
    return found


def _scaled(values: Array) -> tuple[Array, float]:
    """On the scale of logarithms, or as shares of the largest; and the noise there."""
    scaled = np.log(values) if values.min() > 0 else values / np.abs(values).max()
    differences = np.abs(np.diff(scaled))
    return scaled, max(TREND_LEAST_NOISE, MAD * float(np.median(differences)) / math.sqrt(2))


def _without_odd_ones(scaled: Array, noise: float) -> Array:
    """A figure that its neighbours know nothing of is theirs."""
    from scipy.signal import medfilt  # here, for it loads all of scipy

    ordinary = medfilt(np.pad(scaled, NEIGHBOURS // 2, mode="edge"), NEIGHBOURS)[NEIGHBOURS // 2 : -(NEIGHBOURS // 2)]
    return np.where(np.abs(scaled - ordinary) > FAR * noise, ordinary, scaled)


def _placed(scaled: Array, ends: Sequence[int]) -> list[int]:
    """Where they end to the run. As each segment has some runs at least, the last may have taken a run of the one before it.
    What is left must be long enough."""
    found = []
    for start, end, following in zip([0, *ends], ends, [*ends[1:], len(scaled)], strict=False):
        before, after = float(np.median(scaled[start:end])), float(np.median(scaled[end:following]))
        while end < following and abs(scaled[end] - before) < abs(scaled[end] - after):
            end += 1
        if following - end >= TREND_LEAST_RUNS:
            found.append(end)
    return found


def _ends(standardised: Array) -> list[int]:
    """Where segments end, but for the last."""
    import ruptures  # here, for it takes a second

    search = ruptures.KernelCPD(kernel="linear", min_size=TREND_LEAST_RUNS).fit(standardised[:, None])
    return [int(end) for end in search.predict(pen=TREND_PENALTY * math.log(len(standardised)))[:-1]]
