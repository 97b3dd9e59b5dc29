"""Times of runs whose clocks differ. How far a step follows the clock is not known: kernels that wait for memory do not."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from mpcore.gate.limits import CLOCK_STEP_MHZ, CLOCKS_DIFFER, PRIOR_RUNS
from mpcore.records import Speed

POWER_CAP = "power cap"
"""As `GpuState.limits` names it."""
NO_FAULT_OF_A_STEP = {"applications clocks", "sync boost", "display clocks"}
"""Limits that somebody has set."""
POWERS = np.linspace(0.0, 1.0, 21)
"""Of the clock, by which a step may get faster: 0 where it does not follow the clock, 1 where it follows wholly."""
LIKELY = math.exp(-special.chdtri(1, 0.05) / 2)
"""A power is likely where its likelihood is this share of the highest at least. That leaves out the right one 5 times in 100
(Wilks, Annals of Mathematical Statistics 9, 1938)."""


@dataclass(frozen=True)
class Clocks:
    """Logarithms of the clocks of accepted runs, and of the new one."""

    accepted: tuple[float, ...]
    new: float


def still_clock(speed: Speed) -> float | None:
    """The clock that stood still while a case was timed, in MHz. None where it moved or is not known, and where power or heat
    limited it: a step may be the reason."""
    state = speed.gpu
    if state is None or not state.sm_mhz or state.limits is None or not NO_FAULT_OF_A_STEP.issuperset(state.limits):
        return None
    moved = max(state.sm_mhz) - min(state.sm_mhz)
    return statistics.median(state.sm_mhz) if moved <= CLOCK_STEP_MHZ else None


def clocks_of(accepted: Sequence[Speed], new: Speed) -> Clocks | None:
    """Where the clock of each run stood still, and they differ as machine starts do. A step that neither power nor heat limits
    does not change it so."""
    *before, now = still_clocks([*accepted, new]) or [0.0]
    return Clocks(tuple(map(math.log, before)), math.log(now)) if before else None


def still_clocks(speeds: Sequence[Speed]) -> list[float]:
    """The clocks of runs of a case, in MHz; none unless all are known and they differ, by no more than machine starts do."""
    clocks = [clock for speed in speeds if (clock := still_clock(speed))]
    known = len(clocks) == len(speeds) > 1
    differ = known and max(clocks) - min(clocks) > CLOCK_STEP_MHZ and max(clocks) <= (1 + CLOCKS_DIFFER) * min(clocks)
    return clocks if differ else []


def change_at_one_clock(
    accepted: Sequence[float], new: float, prior: float, clocks: Clocks, confidence: float
) -> tuple[float, float, float]:
    """The change of logarithms of times from accepted runs to a new one, if all had run at one clock: the lower bound, the mean
    and the upper bound.

    A step takes 1/clock^p as long, with a p from 0 to 1 that is not known. Accepted runs of different clocks tell which they
    agree by. Each p predicts as `change_since` does. Bounds are the outermost of all that are likely, and the mean is weighted
    by their likelihood (of the normal model with a conjugate prior: Gelman et al., "Bayesian Data Analysis", 3rd ed., 3.3).
    """
    logs = np.asarray(accepted) + np.outer(POWERS, clocks.accepted)
    runs = logs.shape[1]
    freedom = PRIOR_RUNS + runs - 1
    means = logs.mean(axis=1)
    squares = PRIOR_RUNS * prior**2 + ((logs - means[:, None]) ** 2).sum(axis=1)
    likelihood = (squares / squares.min()) ** (-freedom / 2)
    centres = new + POWERS * clocks.new - means
    half = float(special.stdtrit(freedom, confidence)) * np.sqrt(squares / freedom * (1 + 1 / runs))
    likely = likelihood >= LIKELY
    low, high = (centres - half)[likely].min(), (centres + half)[likely].max()
    return float(low), float(np.average(centres, weights=likelihood * likely)), float(high)


def at_one_clock(logs: NDArray[np.float64], clocks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logarithms of times of runs of one code, by the power of the clock from 0 to 1 by which they differ least.
    clocks: logarithms, too, which differ."""
    off = clocks - clocks.mean()
    power = float(np.clip(-(logs * off).sum() / (off**2).sum(), 0.0, 1.0))
    found: NDArray[np.float64] = logs + power * off
    return found
