"""Times of runs whose clocks differ. How far a step follows the clock is not known: kernels that wait for memory do not."""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from mpcore.gate.limits import CLOCK_STEP_MHZ, PRIOR_RUNS
from mpcore.records import Speed

POWER_CAP = "power cap"
"""As `GpuState.limits` names it."""
FOLLOWED = np.linspace(0.0, 1.0, 21)[:, None]
"""Powers of the clock that a step may be slower by: by none of it, to by all of it."""
HALVINGS = 50


@dataclass(frozen=True)
class Clocks:
    """Logarithms of the clocks of accepted runs, and of the new one."""

    accepted: tuple[float, ...]
    new: float


def still_clock(speed: Speed) -> float | None:
    """The clock that stood still while a case was timed, in MHz. None where it moved, where the power limit paced it, and where
    it is not known."""
    state = speed.gpu
    if state is None or not state.sm_mhz or state.limits is None or POWER_CAP in state.limits:
        return None
    moved = max(state.sm_mhz) - min(state.sm_mhz)
    return statistics.median(state.sm_mhz) if moved <= CLOCK_STEP_MHZ else None


def clocks_of(accepted: Sequence[Speed], new: Speed) -> Clocks | None:
    """Where the clock of each run stood still, and they differ. No step can do that to a GPU, but its machine."""
    clocks = [clock for speed in (*accepted, new) if (clock := still_clock(speed))]
    if len(clocks) <= len(accepted) or max(clocks) - min(clocks) <= CLOCK_STEP_MHZ:
        return None
    *before, now = map(math.log, clocks)
    return Clocks(tuple(before), now)


def change_at_one_clock(
    accepted: Sequence[float], new: float, prior: float, clocks: Clocks, confidence: float
) -> tuple[float, float, float]:
    """The change of logarithms of times from accepted runs to a new one, if all had run at one clock: the lower bound, the mean
    and the upper bound.

    A step takes 1/clock^p as long, and any p from 0 to 1 is as likely before a run is seen. Accepted runs of different clocks
    tell which p they agree by. Each p predicts as `change_since` does, and counts by its marginal likelihood (the normal model
    with a conjugate prior: Gelman et al., "Bayesian Data Analysis", 3rd ed., section 3.3).
    """
    logs = np.asarray(accepted) + FOLLOWED * np.asarray(clocks.accepted)
    runs = logs.shape[1]
    freedom = PRIOR_RUNS + runs - 1
    means = logs.mean(axis=1)
    squares = PRIOR_RUNS * prior**2 + ((logs - means[:, None]) ** 2).sum(axis=1)
    likelihood = np.exp(-freedom / 2 * np.log(squares / squares.min()))
    weights = likelihood / likelihood.sum()
    centres = new + FOLLOWED[:, 0] * clocks.new - means
    scales = np.sqrt(squares / freedom * (1 + 1 / runs))
    reach = float(special.stdtrit(freedom, confidence)) * scales
    within = float((centres - reach).min()), float((centres + reach).max())

    def below(change: float) -> float:
        return float((weights * special.stdtr(freedom, (change - centres) / scales)).sum())

    low, high = (_root(below, share, *within) for share in (1 - confidence, confidence))
    return low, float((weights * centres).sum()), high


def at_one_clock(logs: NDArray[np.float64], clocks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logarithms of times of runs of one code, by the power of the clock from 0 to 1 by which they differ least.
    clocks: logarithms, too."""
    off = clocks - clocks.mean()
    power = float(np.clip(-(logs * off).sum() / (off**2).sum(), 0.0, 1.0))
    found: NDArray[np.float64] = logs + power * off
    return found


def _root(below: Callable[[float], float], share: float, low: float, high: float) -> float:
    """Where `below`, which grows, reaches `share`. By halves: scipy.optimize takes longer to load than all this."""
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if below(middle) < share else (low, middle)
    return (low + high) / 2
