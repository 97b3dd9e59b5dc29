"""What every check is made of."""

from mpcore.gate.intervals import Interval
from mpcore.gate.judgement import judgement_of
from mpcore.gate.limits import DROPPED_BLOCKS_SHARE, FASTER_CONFIDENCE
from mpcore.records import AnyRecord, Blocks, Check, CheckStatus, Parity, Race, Speed

SPEEDUP = "speed-up over"
"""The metric of a check, before the name of the other mode."""


def new_check(
    record: AnyRecord, metric: str, status: CheckStatus, value: float | None, limit: float | None, sentence: str
) -> Check:
    """Of a figure of `record`. sentence: without its subject, which is put before it."""
    return Check(status=status, **judgement_of(record, metric, value, limit, sentence))


def passed(reached: bool) -> CheckStatus:
    """The status of what is reached or not."""
    return "passed" if reached else "failed"


def state_of_gpu(record: Speed | Parity | Race, dropped: int, kept: int, reasons: str = "") -> Check:
    """Whether too many blocks were dropped because the GPU was slowed down. reasons: why, in parentheses."""
    share = min(1.0, dropped / kept)
    status: CheckStatus = "inconclusive" if share > DROPPED_BLOCKS_SHARE else "passed"
    sentence = f"the GPU was slowed down in {dropped} rounds of blocks, {kept} are kept{reasons}"
    return new_check(record, "state of the GPU", status, share, DROPPED_BLOCKS_SHARE, sentence)


def step_times(blocks: Blocks) -> list[float]:
    """Seconds of a step in each block."""
    return [seconds / blocks.steps for seconds in blocks.seconds]


def between(ratio: Interval) -> str:
    """The interval of a ratio, in words."""
    return f"{100 * FASTER_CONFIDENCE:.0f} % interval {ratio.low:.3g} to {ratio.high:.3g}"


def figure(value: float | None) -> str:
    """Of three digits; None is what is not finite."""
    return "not finite" if value is None else f"{value:.3g}"
