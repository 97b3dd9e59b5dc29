"""What a mode must reach by itself: to be faster than FP32 and as accurate, and to compute in the bits that its name says."""

from collections.abc import Sequence

from mpcore.explain import bound
from mpcore.policy import DROPPED_LIMIT, LEARNED, NumericsLimits, has_learnt
from mpcore.records import Numerics, Parity, Quality, Speed, Status, Verdict
from mpcore.stats import Deviation, Interval, mean_interval, pooled_deviation, ratio_interval, separate_ratio_interval

SEEDS = 3
"""From fewer nothing follows of the spread."""


def speed_verdicts(speed: Speed, *, control: bool = False, rivals: Sequence[str] = ()) -> list[Verdict]:
    """The step must learn, the GPU must not have been slowed down, and the step must be faster than each of `rivals`: the
    whole 99 % interval of the ratio above 1."""
    undisturbed = [_undisturbed(speed)] if speed.gpu is not None else []
    return [_learns(speed, control), *undisturbed, *(_faster(speed, rival) for rival in rivals)]


def quality_verdicts(
    quality: Quality,
    reference: Quality,
    *,
    tolerance: float,
    deviation: Deviation | None = None,
    loses_updates: bool = False,
    control: bool = False,
) -> list[Verdict]:
    """That no more than `tolerance` points are lost to the reference must be shown, by a one-sided non-inferiority test of 95 %
    over seeds, which are paired: same seed, same order of the data. And it must be as many better on average than what a
    prediction reaches that has learnt nothing.

    deviation: of the differences, pooled over modes; None for that of these alone. Where small updates are known to be lost
    it is said, and is no fault.
    """
    name, metric = quality.case.precision, quality.metric
    points = quality.points_over(reference)
    if control:
        return [_control(quality, points)]
    gains = [round(p, 9) for p in quality.gains([reference])]  # so that exactly the tolerance is within it
    interval = mean_interval(gains, deviation or pooled_deviation([gains]), 0.95) if len(gains) >= SEEDS else None
    points = round(points, 9)
    status = _not_inferior(points, interval, tolerance)
    mean, seeds = quality.mean(metric), len(quality.trainings)
    value, unit = (f"{mean:.3f}", "% of it (+ is better)") if quality.lower_is_better else (f"{100 * mean:.2f} %", "points")
    sentence = (
        f"{metric} of {name} is {value}, {points:+.2f} {unit} from {reference.case.precision} over "
        f"{seeds} {'seed' if seeds == 1 else 'seeds'}{_lowest(interval)}; at most {tolerance:g} may be lost"
    )
    if status != "same" and loses_updates:
        sentence += ", and without FP32 masters it is known to lose some"
    learnt = [] if quality.uninformed is None else [_learnt(quality, quality.uninformed, tolerance, loses_updates)]
    return [_verdict(quality, metric, status, points, -tolerance, sentence, known=loses_updates), *learnt]


def numerics_verdicts(numerics: Numerics, limits: NumericsLimits, *, control: bool = False) -> list[Verdict]:
    """Each error must be within its limit, and the mode must compute in the bits that its name says."""
    checks = [
        ("loss error", numerics.loss_error, limits.loss),
        ("gradient error", numerics.gradient_error, limits.gradient),
        ("update error", numerics.update_error, limits.update),
        ("flushed share", numerics.flushed_share, limits.flushed),
    ]
    if control:
        checks = checks[:1]  # its gradients are known to be flushed, its updates to be none
    verdicts = [_within(numerics, metric, value, limit) for metric, value, limit in checks if limit is not None]
    low, high = limits.half_share
    share = numerics.half_flops_share
    status: Status = "same" if low <= share <= high else "worse"
    expected = f"{100 * low:.0f} to {100 * high:.0f} %"
    sentence = f"{numerics.case.precision} does {100 * share:.0f} % of its FLOPs in 16 bits, expected {expected}"
    return [*verdicts, _verdict(numerics, "16-bit share", status, share, low if share < low else high, sentence)]


def parity_verdicts(parity: Parity, at_least: float, tolerance: float | None = None) -> list[Verdict]:
    """On a GPU, the interval of the ratio must not lie below `at_least`; of a CPU it is only said. Where trainings were
    compared, ours must not score more than `tolerance` points less."""
    ours, theirs = parity.ours, parity.theirs
    ratio = ratio_interval([s / theirs.steps for s in theirs.seconds], [s / ours.steps for s in ours.seconds])
    status: Status = "worse" if ratio.high < at_least else "better" if ratio.low > at_least else "undecided"
    if parity.device == "cpu" or (status == "undecided" and ratio.centre >= at_least):
        status = "same"
    sentence = (
        f"{parity.case.precision} as {parity.case.execution} is {ratio.centre:.3g} times as fast as {parity.rival} "
        f"{parity.rival_version} (99 % interval {ratio.low:.3g} to {ratio.high:.3g}); a GPU must reach {at_least:g}"
    )
    verdicts = [_verdict(parity, f"speed-up over {parity.rival}", status, ratio.centre, at_least, sentence)]
    if parity.device != "cpu":
        verdicts.append(_state(parity, parity.dropped_blocks, len(ours.seconds)))
    if parity.scores and tolerance is not None:
        points = round(100 * (parity.scores["ours"] - parity.scores["theirs"]), 9)
        sentence = f"{parity.case.precision} scores {points:+.2f} points against {parity.rival}; {tolerance:g} may be lost"
        verdicts.append(_verdict(parity, "score", "worse" if points < -tolerance else "same", points, -tolerance, sentence))
    return verdicts


def _learnt(quality: Quality, uninformed: float, tolerance: float, loses_updates: bool) -> Verdict:
    above = quality.points_above(uninformed)
    status: Status = "same" if above > tolerance else "worse"
    unit = "% of it" if quality.lower_is_better else "points"
    sentence = (
        f"{quality.metric} of {quality.case.precision} is {above:+.2f} {unit} from what a prediction reaches that has learnt "
        f"nothing ({uninformed:.4g}); it must be more than {tolerance:g} better, or the comparison shows nothing"
    )
    return _verdict(quality, "learning", status, above, tolerance, sentence, known=loses_updates)


def _not_inferior(points: float, interval: Interval | None, tolerance: float) -> Status:
    """`undecided` where more may be lost than was seen."""
    if interval is None:
        return "same" if points >= -tolerance else "worse"
    if interval.low >= -tolerance:
        return "same"
    return "worse" if points < -tolerance else "undecided"


def _lowest(interval: Interval | None) -> str:
    return f", of which no test is made: {SEEDS} are needed" if interval is None else f" (95 % bound {interval.low:+.2f})"


def _learns(speed: Speed, control: bool) -> Verdict:
    before, after = speed.loss_before, speed.loss_after
    fell = before is not None and after is not None and has_learnt(before, after)
    sentence = f"the loss went from {_figure(before)} to {_figure(after)} while {speed.case.precision} was learning two batches"
    if control:
        return _verdict(speed, "learning", "same", after, before, f"negative control: {sentence}")
    return _verdict(
        speed,
        "learning",
        "same" if fell else "worse",
        after,
        before,
        sentence if fell else f"{sentence}: it must fall by {100 * LEARNED:.0f} %",
    )


def _undisturbed(speed: Speed) -> Verdict:
    """The case and what it is compared with."""
    dropped = speed.dropped_blocks + sum(r.dropped_blocks for r in speed.references.values())
    kept = len(speed.blocks.seconds) + sum(len(r.blocks.seconds) for r in speed.references.values())
    reasons = ", ".join(speed.gpu.limits) if speed.gpu and speed.gpu.limits else "none"
    return _state(speed, dropped, kept, f" (what held its clock back: {reasons})")


def _state(record: Speed | Parity, dropped: int, kept: int, reasons: str = "") -> Verdict:
    share = min(1.0, dropped / kept)
    status: Status = "undecided" if share > DROPPED_LIMIT else "same"
    sentence = f"the GPU was slowed down in {dropped} rounds of blocks, {kept} are kept{reasons}"
    return _verdict(record, "state of the GPU", status, share, DROPPED_LIMIT, sentence)


def speedup(speed: Speed, rival: str) -> Interval | None:
    """How many times as fast as `rival`, with its 99 % interval; None where that was not measured, or in too few blocks."""
    reference = speed.references.get(rival)
    if reference is None:
        return None
    own = reference.rounds or speed.blocks
    interval_of = separate_ratio_interval if reference.rounds is None else ratio_interval
    theirs, ours = ([s / blocks.steps for s in blocks.seconds] for blocks in (reference.blocks, own))
    return interval_of(theirs, ours) if min(len(theirs), len(ours)) > 1 else None


def _faster(speed: Speed, rival: str) -> Verdict:
    ratio = speedup(speed, rival)
    if ratio is None:
        why = speed.missing.get(rival, "it was not asked for" if rival not in speed.references else "one block says nothing")
        sentence = f"{rival} could not be measured, and so not whether {speed.case.precision} is faster: {why}"
        return _verdict(speed, f"speed-up over {rival}", "undecided", None, 1.0, sentence)
    status: Status = "better" if ratio.low > 1 else "worse" if ratio.high < 1 else "undecided"
    interval = f"99 % interval {ratio.low:.3g} to {ratio.high:.3g}"
    sentence = f"{speed.case.precision} is {ratio.centre:.3g} times as fast as {rival} ({interval})"
    if status != "better":
        sentence += f"; the workload expects it to be faster; {bound(speed)}"
    return _verdict(speed, f"speed-up over {rival}", status, ratio.centre, 1.0, sentence)


def _control(quality: Quality, points: float) -> Verdict:
    diverged = [t.diverged for t in quality.trainings if t.diverged]
    name = f"negative control: {quality.case.precision}"
    if diverged:
        first = diverged[0]
        times = f"{len(diverged)} of {len(quality.trainings)} trainings"
        sentence = f"{name} diverged in {times}, first at step {first.step}: {first.reason}"
    else:
        sentence = f"{name} did not diverge here ({points:+.2f} points)"
    return _verdict(quality, quality.metric, "same", points, None, sentence)


def _within(numerics: Numerics, metric: str, value: float | None, limit: float) -> Verdict:
    status: Status = "same" if value is not None and value <= limit else "worse"
    sentence = f"{metric} of {numerics.case.precision} against fp64 is {_figure(value)}, at most {limit:.2g} may be"
    return _verdict(numerics, metric, status, value, limit, sentence)


def _verdict(
    record: Speed | Quality | Numerics | Parity,
    metric: str,
    status: Status,
    value: float | None,
    limit: float | None,
    sentence: str,
    known: bool = False,
) -> Verdict:
    return Verdict(
        kind=record.kind,
        case=record.case.id,
        metric=metric,
        status=status,
        value=value,
        limit=limit,
        sentence=f"{record.case.workload}: {sentence}",
        known=known and status in ("worse", "undecided"),
    )


def _figure(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.3g}"
