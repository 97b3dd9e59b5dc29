"""What every check is made of."""

from mpcore.gate.digits import told_apart
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


def times_as_fast(ours: str, theirs: str, ratio: Interval, at_least: float) -> str:
    """The clause that says how many times as fast, with its interval. at_least: what must be reached."""
    low, centre, high = (told_apart(value, at_least, ".3g")[0] for value in (ratio.low, ratio.centre, ratio.high))
    interval = f"{100 * FASTER_CONFIDENCE:.0f} % interval {low} to {high}"
    return f"{ours} is {centre} times as fast as {theirs} ({interval})"


def figure(value: float | None) -> str:
    """Of three digits; None is what is not finite."""
    return "not finite" if value is None else f"{value:.3g}"
