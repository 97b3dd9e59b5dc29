"""Pure statistics, without torch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Interval:
    """A two-sided confidence interval and its centre."""

    low: float
    centre: float
    high: float


def ratio_interval(reference: Sequence[float], case: Sequence[float], confidence: float = 0.99) -> Interval:
    """How many times longer `reference` takes than `case`: Student's t-interval on the logarithms of the ratios of
    neighbouring blocks, which share the state of the machine. Needs two pairs at least."""
    logs = np.log(np.asarray(reference) / np.asarray(case))
    if len(logs) < 2:
        raise ValueError(f"an interval needs at least two pairs of blocks, got {len(logs)}")
    half = stats.t.ppf(0.5 + confidence / 2, len(logs) - 1) * logs.std(ddof=1) / np.sqrt(len(logs))
    low, centre, high = np.exp([logs.mean() - half, logs.mean(), logs.mean() + half])
    return Interval(float(low), float(centre), float(high))
