"""A reference that got better fails no mode: what FP32 gained is no loss of what is compared with it."""

import math
from collections.abc import Sequence

from mpcore.gate.checks import SPEEDUP
from mpcore.gate.matching import BaselineMatch
from mpcore.records import Check, Quality, Regression, Speed


def better_reference(found: Sequence[Check], match: BaselineMatch, regressions: Sequence[Regression]) -> list[Check]:
    """The checks, with an expected failure in place of one that is missed only because the reference got better. Such a mode is
    as it was accepted, and would pass against the reference of the oldest accepted run."""
    kept = {regression.metric for regression in regressions if regression.status in ("same", "better", "saturated")}
    oldest = next(iter(match.accepted.values()), None)
    return [_excused(check, match.record, oldest, kept) for check in found]


def _excused(check: Check, record: object, oldest: object, kept: set[str]) -> Check:
    if check.passed:
        return check
    why = None
    if isinstance(record, Speed) and isinstance(oldest, Speed) and "step time" in kept:
        why = _faster(check, record, oldest)
    if isinstance(record, Quality) and isinstance(oldest, Quality) and check.metric == record.metric in kept:
        why = _more_accurate(record, oldest)
    if why is None:
        return check
    return check.model_copy(update={"status": "expected_failure", "sentence": f"{check.sentence}. No fault of it: {why}"})


def _faster(check: Check, speed: Speed, oldest: Speed) -> str | None:
    mode = check.metric.removeprefix(f"{SPEEDUP} ")
    if check.metric == mode or not {mode} <= speed.references.keys() & oldest.references.keys():
        return None
    then, now = (s.references[mode].blocks.step_seconds for s in (oldest, speed))
    ratio = then / speed.blocks.step_seconds
    if now >= then or ratio <= 1:
        return None
    less = 100 * (1 - now / then)
    faster = f"{speed.case.precision} is {ratio:.3g} times as fast as it was there"
    return f"{mode} takes {less:.1f} % less than in the oldest accepted run, and {faster}"


def _more_accurate(quality: Quality, oldest: Quality) -> str | None:
    reference, before, tolerance = quality.reference, oldest.reference, quality.requirements.tolerance_points
    if reference is None or before is None or tolerance is None or not math.isfinite(before.mean):
        return None
    points = round(quality.points_above(before.mean), 9)
    gained = points - round(quality.points_above(reference.mean), 9)
    if not gained > 0 or points < -tolerance:
        return None
    return f"{reference.precision} gained {gained:.2f} since the oldest accepted run, from which it is {points:+.2f}"
