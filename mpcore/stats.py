"""Pure statistics, without torch."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy import special

from mpcore.records import Status

PRIOR_RUNS = 10
"""Observations that what is assumed of the spread between runs counts for: three runs say little of it, thirty say more."""
SAME = 0.95
"""Confidence of `same`."""


@dataclass(frozen=True)
class Interval:
    """An estimate and the two bounds of its confidence interval."""

    low: float
    centre: float
    high: float

    def judged(self, margin: float) -> Status:
        """As the change of a figure of which less is better: `worse` once it is beyond `margin` for certain, `better` once it
        is for certain as far to the other side, `same` once more than `margin` can be ruled out, else `undecided`."""
        if self.low > margin:
            return "worse"
        if self.high < -margin:
            return "better"
        return "same" if self.high <= margin else "undecided"


def log_half_width(case: Sequence[float], reference: Sequence[float] | None = None, confidence: float = 0.99) -> float:
    """Half the width of the interval of the mean of `case`, or of its ratio to `reference` pair by pair, as a share of it:
    Student's t on the logarithms. Infinite for fewer than two."""
    if len(case) < 2:
        return float("inf")
    logs = np.log(case) if reference is None else np.log(np.asarray(case) / np.asarray(reference))
    return _quantile(0.5 + confidence / 2, len(logs) - 1) * float(logs.std(ddof=1)) / math.sqrt(len(logs))


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
    centre = float(logs[0].mean() - logs[1].mean())
    errors = [float(of.var(ddof=1)) / len(of) for of in logs]
    half = 0.0
    if total := sum(errors):  # Welch and Satterthwaite's degrees of freedom
        freedom = total**2 / sum(error**2 / (len(of) - 1) for error, of in zip(errors, logs, strict=True))
        half = _quantile(0.5 + confidence / 2, freedom) * math.sqrt(total)
    return Interval(*(math.exp(log) for log in (centre - half, centre, centre + half)))


def change_since(accepted: Sequence[float], new: float, prior: float, confidence: float = 0.99) -> Interval:
    """The change from accepted runs to a new one, in logarithms, between two one-sided bounds: a prediction interval, for the
    machine adds an effect of its own to each run.

    `prior` is the standard deviation between runs that is assumed before any is seen, in logarithms; it counts as
    `PRIOR_RUNS` observations (the scaled inverse chi-square prior of a normal variance: Gelman et al., "Bayesian Data
    Analysis", 3rd ed., section 3.3). Raises ValueError for no accepted run.
    """
    if not accepted:
        raise ValueError("a change needs at least one accepted run")
    logs = np.log(accepted)
    freedom = PRIOR_RUNS + len(logs) - 1
    spread = math.sqrt((PRIOR_RUNS * prior**2 + ((logs - logs.mean()) ** 2).sum()) / freedom)
    return _change(math.log(new) - float(logs.mean()), spread * math.sqrt(1 + 1 / len(logs)), freedom, confidence)


def judged_since(accepted: Sequence[float], new: float, prior: float, margin: float) -> tuple[Interval, Status]:
    """`change_since`, and what it means. To say that it is worse takes 99 %."""
    return _judged(partial(change_since, accepted, new, prior), 0.99, margin)


def change_of_pairs(base: Sequence[float], head: Sequence[float], confidence: float) -> Interval:
    """The same from base to head, measured in pairs: Student's t. Raises ValueError for fewer than two."""
    if len(base) < 2:
        raise ValueError(f"a change needs at least two pairs, got {len(base)}")
    logs = np.log(np.asarray(head) / np.asarray(base))
    return _change(float(logs.mean()), float(logs.std(ddof=1)) / math.sqrt(len(logs)), len(logs) - 1, confidence)


def judged_pairs(base: Sequence[float], head: Sequence[float], confidence: float, margin: float) -> tuple[Interval, Status]:
    """`change_of_pairs`, and what it means. To say that it is worse takes `confidence`."""
    return _judged(partial(change_of_pairs, base, head), confidence, margin)


def _judged(change: Callable[[float], Interval], confidence: float, margin: float) -> tuple[Interval, Status]:
    """The change with `confidence`, and what it means. That it is the same stops no merge and takes `SAME` only: what a machine
    adds by itself is nearly as large as the margin."""
    found = change(confidence)
    status = found.judged(margin)
    if status == "undecided" and change(SAME).high <= margin:
        status = "same"
    return found, status


def _change(centre: float, error: float, freedom: float, confidence: float) -> Interval:
    half = _quantile(confidence, freedom) * error
    return Interval(centre - half, centre, centre + half)


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


def mean_interval(values: Sequence[float], deviation: Deviation, confidence: float = 0.99) -> Interval:
    """The mean of `values` with its two one-sided bounds, where `deviation` is known from more than these."""
    centre = float(np.mean(values))
    freedom = deviation.freedom
    half = _quantile(confidence, freedom) * deviation.value / math.sqrt(len(values)) if freedom else math.inf
    return Interval(centre - half, centre, centre + half)


def _quantile(confidence: float, freedom: float) -> float:
    """Of Student's t. From scipy.special, which is there in a third of the time that scipy.stats takes."""
    return float(special.stdtrit(freedom, confidence))
