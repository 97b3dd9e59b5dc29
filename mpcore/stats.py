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


def log_half_width(case: Sequence[float], reference: Sequence[float] | None = None, confidence: float = 0.99) -> float:
    """Half the width of the interval of the mean of `case`, or of its ratio to `reference` pair by pair, as a share of it:
    Student's t on the logarithms. Infinite for fewer than two."""
    if len(case) < 2:
        return float("inf")
    logs = np.log(case) if reference is None else np.log(np.asarray(case) / np.asarray(reference))
    return float(stats.t.ppf(0.5 + confidence / 2, len(logs) - 1) * logs.std(ddof=1) / np.sqrt(len(logs)))


def ratio_interval(reference: Sequence[float], case: Sequence[float], confidence: float = 0.99) -> Interval:
    """How many times longer `reference` takes than `case`: Student's t-interval on the logarithms of the ratios of
    neighbouring blocks, which share the state of the machine. Needs two pairs at least."""
    logs = np.log(np.asarray(reference) / np.asarray(case))
    if len(logs) < 2:
        raise ValueError(f"an interval needs at least two pairs of blocks, got {len(logs)}")
    half = log_half_width(reference, case, confidence)
    low, centre, high = np.exp([logs.mean() - half, logs.mean(), logs.mean() + half])
    return Interval(float(low), float(centre), float(high))


def separate_ratio_interval(reference: Sequence[float], case: Sequence[float], confidence: float = 0.99) -> Interval:
    """The same for blocks that were measured one after the other: Welch's t-interval on the logarithms. Needs two of each."""
    if min(len(reference), len(case)) < 2:
        raise ValueError(f"an interval needs at least two blocks of each, got {len(reference)} and {len(case)}")
    logs = np.log(reference), np.log(case)
    centre = logs[0].mean() - logs[1].mean()
    low = high = centre
    if max(logs[0].std(), logs[1].std()) > 1e-12:  # less is rounding, which scipy warns of
        low, high = stats.ttest_ind(*logs, equal_var=False).confidence_interval(confidence)
    low, centre, high = np.exp([low, centre, high])
    return Interval(float(low), float(centre), float(high))
