"""Intervals of times, changes and scores. Pure statistics, without torch."""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from mpcore.gate.clocks import Clocks, change_at_one_clock
from mpcore.gate.limits import (
    FASTER_CONFIDENCE,
    ODD_EXCESS,
    ODD_PAIR,
    ODD_PAIRS_SHARE,
    ODD_SPREADS,
    PRIOR_RUNS,
    SAME_CONFIDENCE,
    WORSE_CONFIDENCE,
)
from mpcore.records import RegressionStatus


@dataclass(frozen=True)
class Interval:
    """An estimate and the two bounds of its confidence interval."""

    low: float
    centre: float
    high: float

    def judged(self, margin: float) -> RegressionStatus:
        """As the change of a figure that is the better the less it is.

        `worse` once it is beyond `margin` for certain, and `better` once it is as far to the other side. `same` once more than
        `margin` can be ruled out, else `undecided`.
        """
        if self.low > margin:
            return "worse"
        if self.high < -margin:
            return "better"
        return "same" if self.high <= margin else "undecided"


def log_half_width(
    case: Sequence[float], reference: Sequence[float] | None = None, confidence: float = FASTER_CONFIDENCE
) -> float:
    """Half the width of the interval of the mean of `case`, or of its ratio to `reference` pair by pair, as a share of it.
    Student's t on the logarithms. Infinite for fewer than two.

    By hand, because timing asks for it after every block: scipy.stats takes five times as long.
    """
    if len(case) < 2:
        return float("inf")
    logs = np.log(case) if reference is None else np.log(np.asarray(case) / np.asarray(reference))
    return _quantile(0.5 + confidence / 2, len(logs) - 1) * float(logs.std(ddof=1)) / math.sqrt(len(logs))


def ratio_interval(reference: Sequence[float], case: Sequence[float], confidence: float = FASTER_CONFIDENCE) -> Interval:
    """How many times longer `reference` takes than `case`: the t-interval of neighbouring blocks, which share the state of the
    machine, on logarithms. Raises ValueError for fewer than two pairs."""
    logs = np.log(np.asarray(reference) / np.asarray(case))
    if len(logs) < 2:
        raise ValueError(f"an interval needs at least two pairs of blocks, got {len(logs)}")
    return _exponential(_interval(logs, confidence))


def separate_ratio_interval(
    reference: Sequence[float], case: Sequence[float], confidence: float = FASTER_CONFIDENCE
) -> Interval:
    """The same for blocks that were measured one after the other: Welch's t-interval. Raises ValueError for fewer than two of
    each."""
    if min(len(reference), len(case)) < 2:
        raise ValueError(f"an interval needs at least two blocks of each, got {len(reference)} and {len(case)}")
    theirs, ours = np.log(reference), np.log(case)
    centre = float(theirs.mean() - ours.mean())
    if not theirs.var() and not ours.var():
        return _exponential(Interval(centre, centre, centre))
    from scipy import stats  # which takes longer to load than all else that a command needs

    return _exponential(_bounds(stats.ttest_ind, centre, confidence, theirs, ours, equal_var=False))


def change_since(
    accepted: Sequence[float], new: float, prior: float, confidence: float = WORSE_CONFIDENCE, clocks: Clocks | None = None
) -> Interval:
    """The change from accepted runs to a new one, in logarithms, between two one-sided bounds. It is a prediction interval, for
    the machine adds an effect of its own to each run. clocks: where they differ, the change at one of them.

    `prior` is the standard deviation between runs that is assumed before any is seen, in logarithms. It counts as `PRIOR_RUNS`
    observations (the scaled inverse chi-square prior of a normal variance: Gelman et al., "Bayesian Data Analysis", 3rd ed.,
    section 3.3). Raises ValueError for no accepted run.
    """
    if not accepted:
        raise ValueError("a change needs at least one accepted run")
    logs = np.log(accepted)
    if clocks is not None:
        return Interval(*change_at_one_clock(logs.tolist(), math.log(new), prior, clocks, confidence))
    freedom = PRIOR_RUNS + len(logs) - 1
    spread = math.sqrt((PRIOR_RUNS * prior**2 + ((logs - logs.mean()) ** 2).sum()) / freedom)
    centre = math.log(new) - float(logs.mean())
    half = _quantile(confidence, freedom) * spread * math.sqrt(1 + 1 / len(logs))
    return Interval(centre - half, centre, centre + half)


def judged_since(
    accepted: Sequence[float],
    new: float,
    prior: float,
    margin: float,
    confidence: float = WORSE_CONFIDENCE,
    clocks: Clocks | None = None,
) -> tuple[Interval, RegressionStatus]:
    """`change_since`, and what it means. To say that it is worse takes `confidence`."""
    return _judged(partial(change_since, accepted, new, prior, clocks=clocks), confidence, margin)


def change_of_pairs(base: Sequence[float], head: Sequence[float], confidence: float) -> Interval:
    """The same from base to head, measured in pairs: Student's t. Raises ValueError for fewer than two."""
    if len(base) < 2:
        raise ValueError(f"a change needs at least two pairs, got {len(base)}")
    return _interval(np.log(np.asarray(head) / np.asarray(base)), 2 * confidence - 1)


def odd_pairs(changes: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which changes from base to head, logarithms along the last axis, are so far off from the others that they are set
    aside."""
    off = np.abs(changes - np.median(changes, axis=-1, keepdims=True))
    far = off > math.log1p(ODD_PAIR)
    usual = np.where(far, np.nan, changes)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Degrees of freedom|Mean of empty", RuntimeWarning)
        spread = np.nanstd(usual, axis=-1, ddof=1, keepdims=True)
    odd = far & (off > ODD_SPREADS * spread)
    few = odd.sum(axis=-1, keepdims=True) <= ODD_PAIRS_SHARE * changes.shape[-1]
    found: NDArray[np.bool_] = odd & few
    return found


def odd_excess(changes: NDArray[np.float64], odd: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Of the odd ones, those in which head was slower than usual, less those in which it was faster."""
    slower = np.sign(changes - np.median(changes, axis=-1, keepdims=True)).astype(np.int64)
    found: NDArray[np.int64] = np.sum(slower * odd, axis=-1)
    return found


def judged_pairs(
    base: Sequence[float], head: Sequence[float], confidence: float, margin: float
) -> tuple[Interval, RegressionStatus]:
    """`change_of_pairs` of those that are not odd, and what it means. To say that it is worse takes `confidence`. A head whose
    pairs are odd more often than base's is not the same."""
    before, after = np.asarray(base), np.asarray(head)
    changes = np.log(after / before)
    odd = odd_pairs(changes)
    found, status = _judged(partial(change_of_pairs, before[~odd].tolist(), after[~odd].tolist()), confidence, margin)
    if status == "same" and odd_excess(changes, odd) >= ODD_EXCESS:
        status = "undecided"
    return found, status


def _judged(change: Callable[[float], Interval], confidence: float, margin: float) -> tuple[Interval, RegressionStatus]:
    """The change with `confidence`, and what it means. That it is the same takes less."""
    found = change(confidence)
    status = found.judged(margin)
    if status == "undecided" and change(SAME_CONFIDENCE).high <= margin:
        status = "same"
    return found, status


@dataclass(frozen=True)
class Deviation:
    """A standard deviation and its degrees of freedom."""

    value: float
    freedom: int


def pooled_deviation(groups: Sequence[Sequence[float]]) -> Deviation:
    """Of figures around the mean of their group, each group with a mean of its own."""
    freedom = sum(len(group) - 1 for group in groups)
    squares = sum(float(((np.asarray(group) - np.mean(group)) ** 2).sum()) for group in groups)
    return Deviation(math.sqrt(squares / freedom) if freedom else math.inf, freedom)


def mean_interval(values: Sequence[float], deviation: Deviation, confidence: float = WORSE_CONFIDENCE) -> Interval:
    """The mean of `values` with its two one-sided bounds, where `deviation` is known from more than these."""
    centre = float(np.mean(values))
    freedom = deviation.freedom
    half = _quantile(confidence, freedom) * deviation.value / math.sqrt(len(values)) if freedom else math.inf
    return Interval(centre - half, centre, centre + half)


def _interval(values: NDArray[np.float64], confidence: float) -> Interval:
    """Student's t-interval of a mean; without width where the values do not differ."""
    centre = float(values.mean())
    if not values.var():
        return Interval(centre, centre, centre)
    from scipy import stats

    return _bounds(stats.ttest_1samp, centre, confidence, values, 0.0)


def _bounds(test: Callable[..., Any], centre: float, confidence: float, *samples: Any, **options: Any) -> Interval:
    """`centre` between the bounds of scipy's test, which warns of values that hardly differ."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Precision loss", RuntimeWarning)
        found = test(*samples, **options).confidence_interval(confidence)
    return Interval(float(found.low), centre, float(found.high))


def _exponential(logarithm: Interval) -> Interval:
    return Interval(math.exp(logarithm.low), math.exp(logarithm.centre), math.exp(logarithm.high))


def _quantile(confidence: float, freedom: float) -> float:
    """Of Student's t, one-sided."""
    return float(special.stdtrit(freedom, confidence))
