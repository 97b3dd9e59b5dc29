"""What trainings must show: that no more than the tolerance is lost, and that anything was learnt."""

import math
import statistics
from collections.abc import Sequence

from mpcore.errors import sentences
from mpcore.gate.accuracy import saturation, tolerance_points
from mpcore.gate.checks.check import new_check, passed
from mpcore.gate.digits import told_apart
from mpcore.gate.intervals import Interval, mean_interval, pooled_deviation
from mpcore.gate.limits import BROKEN_TOLERANCES, LAST_SHARE, LEAST_SEEDS, NON_INFERIORITY_CONFIDENCE
from mpcore.records import Check, CheckStatus, Quality, Scores, Training
from mpcore.records.quality import OWN_DATA

LARGE_PER_CENT = 50.0
"""From here on 100 ln(ratio) is told as the ratio."""


def accuracy_checks(quality: Quality, before: Sequence[Quality]) -> list[Check]:
    """No more than the tolerance may be lost, and that must be shown. The training must also be as much better than a
    prediction that has learnt nothing."""
    required = quality.requirements
    if required.negative_control:
        return [_negative_control(quality)]
    if required.tolerance_points is None:
        return []
    tolerance = tolerance_points(quality, required.tolerance_points)
    lost = _accuracy(quality, before, tolerance)
    if quality.data == OWN_DATA and required.must_learn:
        return [lost, _fell(quality, tolerance)]
    if quality.dummy_score is None:
        return [lost]
    return [lost, _learnt(quality, quality.dummy_score, tolerance)]


def _accuracy(quality: Quality, before: Sequence[Quality], tolerance: float) -> Check:
    """A one-sided non-inferiority test over seeds, which are paired: same seed, same order of the data."""
    reference, metric, name = quality.reference, quality.metric, quality.case.precision
    if reference is None:
        sentence = f"{metric} of {name} has no reference, and so it is not known what is lost"
        return new_check(quality, metric, "inconclusive", None, -tolerance, sentence)
    gains = [round(points, 9) for points in quality.gains([reference])]  # so that exactly the tolerance is within it
    interval = None
    if len(gains) >= LEAST_SEEDS:
        deviation = pooled_deviation([gains, *_other_gains(quality, reference, before, tolerance)])
        interval = mean_interval(gains, deviation, NON_INFERIORITY_CONFIDENCE)
    points = round(quality.points_above(reference.mean), 9)
    status = _expected(quality, _not_inferior(points, interval, tolerance))
    than = reference.called if quality.case.spread else reference.precision
    mean, seeds = quality.mean(metric), len(quality.trainings)
    value = f"{mean:.3g}" if quality.lower_is_better else f"{100 * mean:.2f} %"
    bound = "" if interval and _far(quality, points) else _lowest(interval, tolerance)
    sentence = (
        f"{metric} of {name} is {value}, {_apart(quality, points, tolerance)} {than} over "
        f"{seeds} {'seed' if seeds == 1 else 'seeds'}{bound}. At most {_tolerance(quality, tolerance)} may be lost"
    )
    if status == "expected_failure":
        sentence += ", and without FP32 masters it is known to lose some"
    if status == "passed" and (why := saturation(quality)):
        status, sentence = "saturated", sentences(sentence, why.partition(": ")[2])
    return new_check(quality, metric, status, points, -tolerance, sentence)


def _apart(quality: Quality, points: float, tolerance: float) -> str:
    """How far it is from something, which is named after it. Logarithms are per cents only where they are small."""
    gained, _ = told_apart(points, -tolerance, "+.2f")
    if not quality.lower_is_better:
        return f"{gained} points from"
    return (
        f"{math.exp(-points / 100):.3g} times as high as" if _far(quality, points) else f"{gained} % of it (+ is better) from"
    )


def _far(quality: Quality, points: float) -> bool:
    """Whether it is told as a ratio."""
    return quality.lower_is_better and abs(points) >= LARGE_PER_CENT


def _tolerance(quality: Quality, tolerance: float) -> str:
    return f"{tolerance:g} %" if quality.lower_is_better else f"{tolerance:g}"


def _other_gains(quality: Quality, reference: Scores, before: Sequence[Quality], tolerance: float) -> list[list[float]]:
    """Those of other modes of the same workload, TF32 among them, which rounds as FP16 does. None for FP32, which does not
    differ from itself. A mode that is some tolerances away from FP32 is broken, and may spread as no other
    does: it lends nothing, where there is a tolerance."""
    if (quality.case.precision, quality.case.gpus) == (reference.precision, reference.gpus):
        return []
    case = quality.case.in_precision("")
    alike = [q for q in before if q.case.in_precision("") == case and q.terms == quality.terms]
    same = [q for q in alike if q.case.precision != reference.precision and not q.requirements.negative_control]
    gains = [q.gains([q.reference]) for q in same if q.reference]
    finite = [points for points in gains if points and all(map(math.isfinite, points))]
    return [points for points in finite if not tolerance or abs(statistics.fmean(points)) <= BROKEN_TOLERANCES * tolerance]


def _not_inferior(points: float, interval: Interval | None, tolerance: float) -> CheckStatus:
    """`inconclusive` where neither is shown: that no more is lost, nor that more is."""
    if interval is None:
        return passed(points >= -tolerance)
    if interval.low >= -tolerance:
        return "passed"
    return "failed" if interval.high < -tolerance else "inconclusive"


def _lowest(interval: Interval | None, tolerance: float) -> str:
    if interval is None:
        return f", too few for a test, which takes {LEAST_SEEDS}"
    bound, _ = told_apart(interval.low, -tolerance, "+.2f")
    return f" ({100 * NON_INFERIORITY_CONFIDENCE:.3g} % bound {bound})"


def _learnt(quality: Quality, dummy_score: float, tolerance: float) -> Check:
    above = quality.points_above(dummy_score)
    sentence = (
        f"{quality.metric} of {quality.case.precision} is {_apart(quality, above, -tolerance)} what a prediction reaches that "
        f"has learnt nothing ({dummy_score:.4g}). It must be more than {_tolerance(quality, tolerance)} better, or the "
        "comparison shows nothing"
    )
    return new_check(quality, "learning", _expected(quality, passed(above > tolerance)), above, tolerance, sentence)


def _fell(quality: Quality, tolerance: float) -> Check:
    """A loss that ends above its beginning compares nothing. FP32's is what others are compared with."""
    began = statistics.fmean(loss for training in quality.trainings for loss in _first_losses(training))
    risen = -quality.points_above(began) if began > 0 else math.inf
    sentence = (
        f"{quality.metric} of {quality.case.precision} is {quality.mean(quality.metric):.4g} at the end, and began at "
        f"{began:.4g}. It may rise by {tolerance:g} %, unless must_learn = False says that it need not fall"
    )
    return new_check(quality, "learning", _expected(quality, passed(risen <= tolerance)), risen, tolerance, sentence)


def _first_losses(training: Training) -> list[float]:
    """Of as large a share of the steps as its end is."""
    count = max(1, round(LAST_SHARE * len(training.losses)))
    return [math.nan if loss is None else loss for loss in training.losses[:count]]


def _negative_control(quality: Quality) -> Check:
    diverged = [t.diverged for t in quality.trainings if t.diverged]
    points = quality.points
    name = f"negative control: {quality.case.precision}"
    if diverged:
        first = diverged[0]
        times = f"{len(diverged)} of {len(quality.trainings)} trainings"
        sentence = f"{name} diverged in {times}, first at step {first.step}: {first.reason}"
    else:
        sentence = f"{name} did not diverge here" + ("" if points is None else f" ({points:+.2f} points)")
    return new_check(quality, quality.metric, "passed", points, None, sentence)


def _expected(quality: Quality, status: CheckStatus) -> CheckStatus:
    """Where a mode is known to lose small updates, that it loses accuracy is no fault."""
    return "expected_failure" if quality.requirements.loses_updates and status != "passed" else status
