"""How far runs differ by themselves, before any of a case is seen: by the kind of GPU, and by what paces the step."""

import math
import statistics
from collections.abc import Sequence
from typing import Literal

from mpcore.gate.clocks import POWER_CAP
from mpcore.gate.limits import (
    CLOCK_STEP_MHZ,
    CPU_PRIOR_LOG_SD,
    POWER_CAP_PRIOR_LOG_SD,
    SHARED_PRIOR_LOG_SD,
    STEADY_PRIOR_LOG_SD,
    UNSTEADY_PRIOR_LOG_SD,
)
from mpcore.records import Calibration, Speed

Pace = Literal["steady", "power cap", "unsteady"]
"""What paces a step: a clock that stands still, the power limit, or a clock that moves for another reason or is not known."""


def _shipped(hardware: str) -> Calibration:
    return Calibration(
        hardware=hardware,
        runs=4,
        gpus=4,
        steady_log_sd=STEADY_PRIOR_LOG_SD,
        power_cap_log_sd=POWER_CAP_PRIOR_LOG_SD,
        unsteady_log_sd=UNSTEADY_PRIOR_LOG_SD,
        shared_log_sd=SHARED_PRIOR_LOG_SD,
    )


SHIPPED = {hardware: _shipped(hardware) for hardware in ("nvidia-h100-80gb-hbm3", "nvidia-h200")}
"""Of four GPUs each."""


def pace(accepted: Sequence[Speed]) -> Pace:
    """As accepted runs of a case tell, and never the new one: what has come to its power limit is slower for a reason."""
    states = [speed.gpu for speed in accepted]
    clocks = [mhz for state in states if state is not None for mhz in state.sm_mhz]
    limits = [state.limits for state in states if state is not None and state.limits is not None]
    if len(limits) < len(states) or not clocks:
        return "unsteady"
    if any(POWER_CAP in found for found in limits):
        return "power cap"
    return "steady" if max(clocks) - min(clocks) <= CLOCK_STEP_MHZ else "unsteady"


def on_another_clock(accepted: Sequence[Speed], new: Speed) -> bool:
    """Whether the new run's clock is another one, and not for its power limit: no step can do that to a GPU, but its machine. A
    step that has come to its power limit is slower for a reason. Where `clocks_of` knows too little, this alone counts."""
    before = [mhz for speed in accepted if speed.gpu is not None for mhz in speed.gpu.sm_mhz]
    if new.gpu is None or not new.gpu.sm_mhz or not before or POWER_CAP in (new.gpu.limits or ()):
        return False
    now = statistics.median(new.gpu.sm_mhz)
    return now < min(before) - CLOCK_STEP_MHZ or now > max(before) + CLOCK_STEP_MHZ


def prior_log_sd(
    accepted: Sequence[Speed], calibration: Calibration | None, new: Speed | None = None, *, at_one_clock: bool = False
) -> float:
    """The standard deviation between runs of a case, of logarithms. calibration: None for a kind of GPU that has none. new: the
    run that is judged, whose clock may be another one. at_one_clock: what clocks do is taken out."""
    if accepted[-1].device == "cpu":
        return CPU_PRIOR_LOG_SD
    if calibration is None:
        return UNSTEADY_PRIOR_LOG_SD
    if at_one_clock:
        return calibration.steady_log_sd
    if new is not None and on_another_clock(accepted, new):
        return calibration.unsteady_log_sd
    match pace(accepted):
        case "steady":
            return calibration.steady_log_sd
        case "power cap":
            return calibration.power_cap_log_sd
    return calibration.unsteady_log_sd


def shared_prior_log_sd(of_cases: Sequence[float], calibration: Calibration | None) -> float:
    """The deviation of the median over cases: what they share, and what their own deviations leave in a median of so many.
    Where the clocks of most wander, they wander together."""
    unsteady = UNSTEADY_PRIOR_LOG_SD if calibration is None else calibration.unsteady_log_sd
    together = calibration is not None and statistics.median(of_cases) < unsteady
    shared = calibration.shared_log_sd if calibration is not None and together else unsteady
    own = math.pi / 2 * sum(sd**2 for sd in of_cases) / len(of_cases) ** 2
    return math.sqrt(shared**2 + own)
