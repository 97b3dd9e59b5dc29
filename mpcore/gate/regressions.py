"""Did it get worse since runs that were accepted? Each figure against a margin. Times by a prediction interval, for each run
has a machine's effect of its own. Memory as it is, for it repeats. Accuracy seed by seed, and errors against FP64 by a factor.
Work has no margin."""

import math
import statistics
from collections.abc import Sequence
from typing import Any, TypeVar

from mpcore.errors import sentences
from mpcore.gate.accuracy import saturation, tolerance_points
from mpcore.gate.clocks import clocks_of
from mpcore.gate.digits import as_judged, beside_margin, error_since, told_apart
from mpcore.gate.intervals import Deviation, Interval, change_since, judged_since, mean_interval, pooled_deviation
from mpcore.gate.judgement import judgement_of
from mpcore.gate.limits import (
    CLOCK_STEP_MHZ,
    COMPILE_TIME_NOISE_SECONDS,
    EAGER_MEMORY_NOISE_BYTES,
    FLUSHED_SHARE_NOISE,
    GRAPH_MEMORY_NOISE_BYTES,
    LEAST_SEEDS,
    WORSE_CONFIDENCE,
)
from mpcore.gate.margins import Margins, allowed_bytes
from mpcore.gate.matching import BaselineMatch
from mpcore.gate.priors import prior_log_sd
from mpcore.gate.regressions_of_ranks import regressions_of_ranks
from mpcore.gate.work import shown, work_regressions
from mpcore.kernels.difference import explain_difference
from mpcore.records import (
    AnyRecord,
    Calibration,
    Compilation,
    Numerics,
    Parallel,
    Quality,
    Regression,
    RegressionStatus,
    Speed,
    Work,
)

ACCEPT = "python -m mpcore accept FILE --reason TEXT"
MAKES_ACCEPTED = f"`{ACCEPT}` makes it one"
CALIBRATE = "python -m mpcore calibrate --baselines --write"
GIB = 2**30
STEP_TIME = "step time"
COMPILE_TIME = "compile time"
"""The metric whose margin is so wide that once is enough: a fresh process would find in the cache what this has compiled."""
Kind = TypeVar("Kind", Speed, Quality, Numerics, Work, Parallel)


def regressions(
    match: BaselineMatch,
    margins: Margins,
    calibration: Calibration | None,
    repeated: Sequence[Sequence[float]] = (),
    confidence: float = WORSE_CONFIDENCE,
) -> list[Regression]:
    """One for each figure; a single `new` or `incomparable` where there is nothing to compare with. None for a kind of record
    that is not compared with accepted runs. calibration: of the kind of GPU; without one times are only reported.
    repeated: how far trainings of other modes spread, as `accuracy.repeated` says. confidence: that a time is worse."""
    record = match.record
    if not isinstance(record, Speed | Quality | Numerics | Work | Parallel):
        return []
    if not match.accepted:
        return [_unmatched(match)]
    if isinstance(record, Work):
        accepted = _of(match, Work)
        return work_regressions(accepted[-1], record, accepted)
    if isinstance(record, Parallel):
        return regressions_of_ranks(_of(match, Parallel), record, margins.errors)
    if isinstance(record, Speed):
        return _speed(record, _of(match, Speed), margins, calibration, confidence)
    if isinstance(record, Quality):
        return [_quality(record, _of(match, Quality), margins, repeated)]
    return _numerics(record, _of(match, Numerics), margins)


def expected_seconds(accepted: Sequence[Speed], calibration: Calibration | None) -> Interval | None:
    """Where the time of a step of the next run lies, by the median of its blocks. It is 99 % to each side, as wide as what it
    is judged by at the clock of those before. None where it is launched by Python on a GPU."""
    if how_run(accepted[-1]) == "eager":
        return None
    seconds = [s.blocks.step_seconds for s in accepted]
    centre = statistics.geometric_mean(seconds)
    change = change_since(seconds, centre, prior_log_sd(accepted, calibration))
    return Interval(*(centre * math.exp(c) for c in (change.low, change.centre, change.high)))


def how_run(speed: Speed) -> str:
    """Who sets the pace: "cpu", Python ("eager"), or the GPU ("graph")."""
    return "cpu" if speed.device == "cpu" else "graph" if speed.case.captured else "eager"


def _of(match: BaselineMatch, kind: type[Kind]) -> list[Kind]:
    return [record for record in match.accepted.values() if isinstance(record, kind)]


def _unmatched(match: BaselineMatch) -> Regression:
    why = f"accepted runs have it otherwise ({match.other})" if match.other else "no accepted run has it"
    now, last = match.record, match.last
    counted = shown(last, now) if isinstance(now, Work) and isinstance(last, Work) else ""
    sentence = sentences(f"{now.case.precision}: {why}", counted, MAKES_ACCEPTED)
    status: RegressionStatus = "incomparable" if match.other else "new"
    return _regression(now, now.kind, status, None, None, None, sentence)


def _speed(
    speed: Speed, accepted: list[Speed], margins: Margins, calibration: Calibration | None, confidence: float
) -> list[Regression]:
    margin = margins.time(how_run(speed))
    found = [] if margin is None else [_time(speed, accepted, margin, calibration, confidence)]
    for metric, field in (("memory", "peak_allocated_bytes"), ("graph memory", "pool_bytes")):
        before, now = [b for s in accepted if (b := getattr(s, field))], getattr(speed, field)
        if before and now:  # it repeats: the last run says it all
            found.append(_memory(speed, metric, before, now, margins.memory))
    if speed.compilation:
        found += _compile_time(speed, speed.compilation, accepted, margins.compile_time)
    return found


def _time(speed: Speed, accepted: list[Speed], margin: float, calibration: Calibration | None, confidence: float) -> Regression:
    """By the shortest block: at the power limit it differs less from run to run than the median, and elsewhere as much."""
    *before, now = (1e3 * s.blocks.least_step_seconds for s in (*accepted, speed))
    clocks = clocks_of(accepted, speed)
    usual = statistics.geometric_mean(before)
    prior = prior_log_sd(accepted, calibration, speed, at_one_clock=clocks is not None)
    change, status = judged_since(before, now, prior, margin, confidence, clocks)
    at = f" at one clock ({percent(math.log(now / usual))} as measured)" if clocks else ""
    sentence = (
        f"a step of {speed.case.precision} takes {now:.4g} ms, {percent(change.centre)}{at} from {runs(len(before))}, "
        f"{bounds(change, margin, confidence)}"
    )
    if status in ("worse", "undecided"):
        sentence += _clock(accepted, speed)
    if status == "worse" and speed.profile and accepted[-1].profile and not clocks:  # or kernels differ by their clocks, too
        more = (now - usual) / 1e3
        sentence = sentences(sentence, explain_difference(accepted[-1].profile, speed.profile, more=more))
    if calibration is None and speed.device != "cpu":
        status, sentence = reported_only(status, sentence)
    limit = now * math.exp(margin - change.centre)
    return _regression(speed, STEP_TIME, status, change, now, limit, sentence)


def _compile_time(speed: Speed, now: Compilation, accepted: list[Speed], margin: float) -> list[Regression]:
    """Against runs that found as much in the cache; none where there was no such run."""
    before = [s.compilation.seconds for s in accepted if s.compilation and s.compilation.warm == now.warm]
    if not before:
        return []
    usual = statistics.median(before)
    allowed = max(usual * margin / 100, COMPILE_TIME_NOISE_SECONDS)
    change = Interval(*[now.seconds - usual] * 3)
    said, then, margin_said = as_judged(
        lambda now, usual, allowed: Interval(*[now - usual] * 3).judged(allowed),
        *((seconds, ".1f") for seconds in (now.seconds, usual, allowed)),
    )
    sentence = (
        f"{speed.case.precision} was compiled in {said} s, {now.warmth}, in {then} s in {runs(len(before))}. "
        f"The margin is {margin_said} s"
    )
    return [_regression(speed, COMPILE_TIME, change.judged(allowed), None, now.seconds, usual + allowed, sentence)]


def _clock(accepted: list[Speed], speed: Speed) -> str:
    """What is to be said of a clock that is another one than in accepted runs."""
    clocks = [statistics.median(s.gpu.sm_mhz) for s in (*accepted, speed) if s.gpu is not None and s.gpu.sm_mhz]
    if len(clocks) <= len(accepted):
        return ""
    *before, now = clocks
    then = statistics.median(before)
    return f". The clock was {now:.0f} MHz, {then:.0f} in accepted runs" if abs(now - then) > CLOCK_STEP_MHZ else ""


def reported_only(status: RegressionStatus, sentence: str) -> tuple[RegressionStatus, str]:
    """Nothing is decided on a kind of GPU where nobody knows how far its runs differ."""
    if status not in ("worse", "better"):
        return status, sentence
    return "undecided", f"{sentence}. Reported only: this kind of GPU is not calibrated yet, which `{CALIBRATE}` does"


def _memory(speed: Speed, metric: str, accepted: Sequence[int], now: int, margin: float) -> Regression:
    before = accepted[-1]
    change = Interval(*[math.log(now / before)] * 3)
    noise = EAGER_MEMORY_NOISE_BYTES if metric == "memory" else GRAPH_MEMORY_NOISE_BYTES
    allowed, said = allowed_bytes(before, margin, noise)
    status = Interval(*[float(now - before)] * 3).judged(allowed)
    held, held_before = as_judged(
        lambda now, before: Interval(*[GIB * (now - before)] * 3).judged(allowed), (now / GIB, ".3f"), (before / GIB, ".3f")
    )
    share, _ = told_apart(100 * (now / before - 1), math.copysign(100 * allowed / before, now - before), "+.1f")
    where = "an eager step takes" if metric == "memory" else "the graph holds"
    sentence = (
        f"{where} {held} GiB in {speed.case.precision}, {share} % from the {held_before} of "
        f"{'the accepted run' if len(accepted) == 1 else 'the last accepted run'}. The margin is {said}"
    )
    return _regression(speed, metric, status, change, now / GIB, (before + allowed) / GIB, sentence)


def _quality(quality: Quality, accepted: list[Quality], margins: Margins, repeated: Sequence[Sequence[float]]) -> Regression:
    enough = [old for old in accepted if len(quality.gains([old.scores])) >= LEAST_SEEDS]
    accepted = enough or accepted[-1:]  # the seeds that all have are compared, and one run of few would leave few
    points = quality.gains([old.scores for old in accepted])
    required = tolerance_points(quality, quality.requirements.tolerance_points or 0.0)
    margin = required if margins.points is None else margins.points
    unit = "% of it" if quality.lower_is_better else "points"
    name = f"{quality.metric} of {quality.case.precision}"
    if len(points) < LEAST_SEEDS:
        sentence = f"{name} was measured from {len(points)} seeds that accepted runs have too. {LEAST_SEEDS} are needed"
        return _regression(quality, quality.metric, "undecided", None, None, None, sentence)
    if not all(map(math.isfinite, points)):
        return _diverged(quality, accepted[-1])
    points = [round(p, 9) for p in points]  # so that exactly the margin is within it
    times = math.sqrt(1 + 1 / len(accepted))  # what a difference from so many spreads more than one training
    one = pooled_deviation([[p / times for p in points], *repeated])
    lost = mean_interval([-p for p in points], Deviation(times * one.value, one.freedom), WORSE_CONFIDENCE)
    status = lost.judged(margin)
    low, high = as_judged(lambda *bounds: _reversed(*bounds).judged(margin), (-lost.high, "+.2f"), (-lost.low, "+.2f"))
    sentence = (
        f"{name} is {-lost.centre:+.2f} {unit} from {runs(len(accepted))}, over {len(points)} seeds "
        f"(99 % bounds {low} and {high}). {margin:g} may be lost"
    )
    if status == "same" and (why := saturation(quality)):
        status, sentence = "saturated", sentences(sentence, why.partition(": ")[2])
    return _regression(quality, quality.metric, status, None, -lost.centre, -margin, sentence)


def _reversed(low: float, high: float) -> Interval:
    """What is lost, of what is gained."""
    return Interval(-high, -high, -low)


def _diverged(quality: Quality, accepted: Quality) -> Regression:
    """A negative control diverges in accepted runs, too."""
    counts = [sum(not math.isfinite(v) for v in q.values(q.metric)) for q in (quality, accepted)]
    status: RegressionStatus = "worse" if counts[0] > counts[1] else "same"
    sentence = f"{counts[0]} trainings of {quality.case.precision} ended in no number, {counts[1]} in the last accepted run"
    return _regression(quality, quality.metric, status, None, counts[0], counts[1], sentence)


def _numerics(numerics: Numerics, accepted: list[Numerics], margins: Margins) -> list[Regression]:
    """The error of the loss is one number, which may be small by chance: only its cap says something of it."""
    noise = numerics.requirements.update_noise if margins.updates is None else margins.updates
    found = []
    for metric, floor in (("gradient error", 0.0), ("update error", noise), ("flushed share", FLUSHED_SHARE_NOISE)):
        field = metric.replace(" ", "_")
        before = [v for n in accepted if (v := getattr(n, field)) is not None]
        if before:
            now = getattr(numerics, field)
            found.append(_error(numerics, metric, statistics.median(before), now, margins.errors, floor))
    return found


def _error(numerics: Numerics, metric: str, before: float, now: float | None, factor: float, floor: float) -> Regression:
    """An error up to `floor` says nothing."""
    limit = max(factor * before, floor)
    smaller = now is not None and now * factor < before
    status: RegressionStatus = "worse" if now is None or now > limit else "better" if smaller and before > floor else "same"
    figure, then = error_since(before, now, factor, floor)
    allowed = f"{floor:g}" if limit == floor else f"{factor:g} times that"
    sentence = f"{metric} of {numerics.case.precision} is {figure}, {then} in accepted runs. The limit is {allowed}"
    return _regression(numerics, metric, status, None, now, limit, sentence)


def percent(change: float) -> str:
    """A change of a logarithm: "+1.2 %"."""
    return f"{100 * math.expm1(change):+.1f} %"


def runs(count: int) -> str:
    return "the accepted run" if count == 1 else f"{count} accepted runs"


def bounds(change: Interval, margin: float, confidence: float = WORSE_CONFIDENCE) -> str:
    each = f"{100 * confidence:g} % each"
    shares = [100 * math.expm1(value) for value in (change.low, change.high, margin)]
    low, high, most = as_judged(beside_margin, *zip(shares, ("+.1f", "+.1f", ".3g"), strict=True))
    return f"between {low} % and {high} % ({each}). The margin is {most} %"


def as_ratio(change: Interval | None) -> dict[str, Any]:
    """The fields of a regression that hold a change, given in logarithms."""
    if change is None:
        return {}
    return {"ratio": math.exp(change.centre), "interval": (math.exp(change.low), math.exp(change.high))}


def _regression(
    record: AnyRecord,
    metric: str,
    status: RegressionStatus,
    change: Interval | None,
    value: float | None,
    limit: float | None,
    sentence: str,
) -> Regression:
    return Regression(status=status, **judgement_of(record, metric, value, limit, sentence), **as_ratio(change))
