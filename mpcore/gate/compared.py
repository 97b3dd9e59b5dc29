"""Did it get worse since runs that were accepted? Each figure against a margin: times by a prediction interval, for each run
has a machine's effect of its own; memory as it is, for it repeats; accuracy seed by seed; errors against FP64 by a factor."""

import math
import statistics
from collections.abc import Sequence
from typing import Any

from mpcore.explain import bound
from mpcore.gate.expected import SEEDS
from mpcore.gate.since import Since
from mpcore.kernels import explain_difference
from mpcore.policy import MACHINE_PRIOR, Margins
from mpcore.records import ALL_CASES, AnyRecord, Numerics, Quality, Speed, Status, Verdict
from mpcore.stats import Interval, change_since, judged_since, mean_interval, pooled_deviation

ACCEPT = "python -m mpcore accept FILE --reason TEXT"
COMMON = 4
"""Cases from which on it is worth a word what all of them share."""


def compared(of: Since, margins: Margins) -> list[Verdict]:
    """One verdict a figure; a single `new` where there is nothing to compare with."""
    if not of.accepted:
        return [_new(of)]
    record, accepted = of.record, list(of.accepted.values())
    if isinstance(record, Speed):
        return _speed(record, [r for r in accepted if isinstance(r, Speed)], margins)
    if isinstance(record, Quality):
        return [_quality(record, [r for r in accepted if isinstance(r, Quality)], margins)]
    if isinstance(record, Numerics):
        return _numerics(record, [r for r in accepted if isinstance(r, Numerics)], margins)
    return []


def common_change(cases: Sequence[Since], margins: Margins) -> Verdict | None:
    """What all graphs share: the median change of their step times, taken once for each accepted run that has four of them at
    least. None where none has."""
    changes: dict[int, list[float]] = {}
    for of in cases:
        if isinstance(of.record, Speed) and _how(of.record) == "graph":
            for number, found in _changes(of).items():
                changes.setdefault(number, []).append(found)
    of_runs = [of_run for of_run in changes.values() if len(of_run) >= COMMON]
    if not of_runs:
        return None
    margin = margins.time("step time", "graph")
    assert margin is not None  # graphs have one
    shared = [math.exp(-statistics.median(of_run)) for of_run in of_runs]
    change, status = judged_since(shared, 1.0, MACHINE_PRIOR["graph"], margin)
    sentence = (
        f"steps of all {max(map(len, of_runs))} cases take {_percent(change.centre)} from {_runs(len(shared))}, "
        f"{_bounds(change, margin)}"
    )
    if status in ("worse", "better"):
        sentence += ": the machine, the driver, or a change to all"
    return Verdict(
        kind="speed",
        case=ALL_CASES,
        metric="step time",
        status=status,
        value=math.exp(change.centre),
        limit=math.exp(margin),
        compared=True,
        sentence=sentence,
        **_between(change),
    )


def _new(of: Since) -> Verdict:
    why = f"accepted runs have it otherwise ({of.other})" if of.other else "no accepted run has it"
    sentence = f"{of.record.case.precision}: {why}; {ACCEPT} makes it one"
    return _verdict(of.record, of.record.kind, "new", None, None, None, sentence)


def _speed(speed: Speed, accepted: list[Speed], margins: Margins) -> list[Verdict]:
    fields = {"step time": "blocks"} | ({"eager time": "eager"} if speed.eager and all(s.eager for s in accepted) else {})
    verdicts = []
    for metric, field in fields.items():
        how = _how(speed, field)
        if (margin := margins.time(metric, how)) is not None:
            verdicts.append(_time(speed, accepted, metric, field, how, margin))
    for metric, field in (("memory", "peak_allocated_bytes"), ("graph memory", "pool_bytes")):
        before, now = [b for s in accepted if (b := getattr(s, field))], getattr(speed, field)
        if before and now:  # it repeats: the last run says it all
            verdicts.append(_memory(speed, metric, before[-1], now, margins.memory))
    return verdicts


def _how(speed: Speed, field: str = "blocks") -> str:
    """Who sets the pace: "cpu", Python ("eager"), or the GPU ("graph")."""
    return "cpu" if speed.device == "cpu" else "eager" if "eager" in (field, speed.case.execution) else "graph"


def expected_seconds(accepted: Sequence[Speed]) -> Interval:
    """Where the time of a step of the next run lies: the prediction interval of 99 % to each side that it is judged by."""
    seconds = [s.blocks.step_seconds for s in accepted]
    centre = statistics.geometric_mean(seconds)
    change = change_since(seconds, centre, MACHINE_PRIOR[_how(accepted[-1])])
    return Interval(*(centre * math.exp(c) for c in (change.low, change.centre, change.high)))


def _time(speed: Speed, accepted: list[Speed], metric: str, field: str, how: str, margin: float) -> Verdict:
    *before, now = (1e3 * getattr(s, field).step_seconds for s in (*accepted, speed))
    change, status = judged_since(before, now, MACHINE_PRIOR[how], margin)
    sentence = (
        f"{'an eager step' if field == 'eager' else 'a step'} of {speed.case.precision} takes {now:.4g} ms, "
        f"{_percent(change.centre)} from {_runs(len(before))}, {_bounds(change, margin)}"
    )
    if status == "worse" and speed.profile and accepted[-1].profile:
        sentence += f"; {explain_difference(accepted[-1].profile, speed.profile)}"
    if status == "worse" and how == "eager":
        sentence += f"; {bound(speed)}"
    limit = statistics.geometric_mean(before) * math.exp(margin)
    return _verdict(speed, metric, status, change, now, limit, sentence)


def _memory(speed: Speed, metric: str, before: int, now: int, margin: float) -> Verdict:
    change = Interval(*[math.log(now / before)] * 3)
    allowed, said = before * margin / 100, f"{margin:g} %"
    if metric == "memory" and allowed < RESTS:
        allowed, said = RESTS, f"{RESTS / 2**20:g} MiB"
    status = Interval(*[float(now - before)] * 3).judged(allowed)
    where = "an eager step takes" if metric == "memory" else "the graph holds"
    sentence = (
        f"{where} {now / 2**30:.3f} GiB in {speed.case.precision}, {_percent(change.centre)} from the {before / 2**30:.3f} of "
        f"the last accepted run; {said} is the margin"
    )
    return _verdict(speed, metric, status, change, now / 2**30, (before + allowed) / 2**30, sentence)


RESTS = 8 * 2**20
"""torch's allocator gives the last MiB of a block away with what precedes it, and counts it as allocated: how many times it
does hangs on what was freed before. Peaks of the same code differed by up to 3.4 MiB where 1 % is less (a ResNet-18)."""


def _quality(quality: Quality, accepted: list[Quality], margins: Margins) -> Verdict:
    enough = [old for old in accepted if len(quality.gains([old])) >= SEEDS]
    accepted = enough or accepted[-1:]  # the seeds that all have are compared, and one run of few would leave few
    points = quality.gains(accepted)
    margin = margins.points or 0.0
    unit = "% of it" if quality.lower_is_better else "points"
    name = f"{quality.metric} of {quality.case.precision}"
    if len(points) < SEEDS:
        sentence = f"{name} was measured from {len(points)} seeds that accepted runs have too; {SEEDS} are needed"
        return _verdict(quality, quality.metric, "undecided", None, None, None, sentence)
    if not all(map(math.isfinite, points)):
        return _diverged(quality, accepted[-1])
    lost = mean_interval([-p for p in points], pooled_deviation([points]), 0.99)
    status = lost.judged(margin)
    sentence = (
        f"{name} is {-lost.centre:+.2f} {unit} from {_runs(len(accepted))}, over {len(points)} seeds "
        f"(99 % bounds {-lost.high:+.2f} and {-lost.low:+.2f}); {margin:g} may be lost"
    )
    return _verdict(quality, quality.metric, status, None, -lost.centre, -margin, sentence)


def _diverged(quality: Quality, accepted: Quality) -> Verdict:
    """A negative control diverges in accepted runs, too."""
    counts = [sum(not math.isfinite(v) for v in q.values(q.metric)) for q in (quality, accepted)]
    status: Status = "worse" if counts[0] > counts[1] else "same"
    sentence = f"{counts[0]} trainings of {quality.case.precision} ended in no number, {counts[1]} in the last accepted run"
    return _verdict(quality, quality.metric, status, None, counts[0], counts[1], sentence)


def _numerics(numerics: Numerics, accepted: list[Numerics], margins: Margins) -> list[Verdict]:
    """The error of the loss is one number, which may be small by chance: only its cap says something of it."""
    verdicts = []
    for metric, floor in (("gradient error", 0.0), ("update error", margins.updates or 0.0), ("flushed share", FEW)):
        field = metric.replace(" ", "_")
        before = [v for n in accepted if (v := getattr(n, field)) is not None]
        if before:
            now = getattr(numerics, field)
            verdicts.append(_error(numerics, metric, statistics.median(before), now, margins.errors, floor))
    return verdicts


def _error(numerics: Numerics, metric: str, before: float, now: float | None, factor: float, floor: float) -> Verdict:
    """An error up to `floor` says nothing."""
    limit = max(factor * before, floor)
    smaller = now is not None and now * factor < before
    status: Status = "worse" if now is None or now > limit else "better" if smaller and before > floor else "same"
    found = "not finite" if now is None else f"{now:.2g}"
    allowed = f"{floor:g}" if limit == floor else f"{factor:g} times that"
    sentence = f"{metric} of {numerics.case.precision} is {found}, {before:.2g} in accepted runs; {allowed} may be"
    return _verdict(numerics, metric, status, None, now, limit, sentence)


FEW = 1e-4
"""A share of gradient entries so small is a handful of them, by chance the one or the other."""


def _changes(of: Since) -> dict[int, float]:
    """The change of the step time from each accepted run, in logarithms."""
    assert isinstance(of.record, Speed)
    now = of.record.blocks.step_seconds
    return {n: math.log(now / old.blocks.step_seconds) for n, old in of.accepted.items() if isinstance(old, Speed)}


def _percent(change: float) -> str:
    return f"{100 * math.expm1(change):+.1f} %"


def _runs(count: int) -> str:
    return "the accepted run" if count == 1 else f"{count} accepted runs"


def _bounds(change: Interval, margin: float) -> str:
    low, high = _percent(change.low), _percent(change.high)
    return f"between {low} and {high} (99 % each); {100 * math.expm1(margin):.3g} % is the margin"


def _verdict(record: AnyRecord, metric: str, status: Status, *figures: Any) -> Verdict:
    """`figures`: change, value, limit, and the sentence without the workload."""
    change, value, limit, sentence = figures
    return Verdict(
        kind=record.kind,
        case=record.case.id,
        metric=metric,
        status=status,
        value=value,
        limit=limit,
        compared=True,
        sentence=f"{record.case.workload}: {sentence}",
        **_between(change),
    )


def _between(change: Interval | None) -> dict[str, Any]:
    """The fields of a verdict that hold a change, given in logarithms, as a ratio."""
    if change is None:
        return {}
    return {"ratio": math.exp(change.centre), "interval": (math.exp(change.low), math.exp(change.high))}
