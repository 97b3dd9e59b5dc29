"""What must be reached: a mode must be faster than FP32 and as accurate, and compute in the bits that its name says.

All that is required stands in the record. Records of the same run that were measured before it say more of the spread.
"""

import math
from collections.abc import Sequence

from mpcore.errors import sentences
from mpcore.gate.accuracy import saturation, tolerance_points
from mpcore.gate.intervals import Interval, mean_interval, pooled_deviation, ratio_interval, separate_ratio_interval
from mpcore.gate.limits import (
    DROPPED_BLOCKS_SHARE,
    FASTER_CONFIDENCE,
    LEARNED_SHARE,
    LEAST_SEEDS,
    MOST_OF_A_STEP,
    NON_INFERIORITY_CONFIDENCE,
    has_learnt,
)
from mpcore.gate.parallel import parallel_checks, slowest_rank
from mpcore.kernels.bound import bound
from mpcore.records import (
    AnyRecord,
    Blocks,
    Check,
    CheckStatus,
    Compilation,
    Drift,
    Entrant,
    Numerics,
    Parallel,
    Parity,
    Quality,
    Race,
    Result,
    Scores,
    Speed,
    TensorErrors,
    Turns,
)

SPEEDUP = "speed-up over"
"""The metric of a check, before the name of the other mode."""
NAMED = 3
"""Tensors that a sentence names besides the worst."""


def checks(record: AnyRecord, before: Sequence[Result] = ()) -> list[Check]:
    """One check for each figure that must reach something. before: the results of the same run that were measured earlier."""
    match record:
        case Speed():
            return _speed(record)
        case Quality():
            return _quality(record, [result.record for result in before if isinstance(result.record, Quality)])
        case Numerics():
            return _numerics(record)
        case Parity():
            return _parity(record)
        case Race():
            return _race(record)
        case Parallel():
            return list(parallel_checks(record))
        case Drift():
            return _drift(record, before)
    return []


def speedup(speed: Speed, reference: str) -> Interval | None:
    """How many times as fast as `reference`, with its 99 % interval; None where that was not measured, or in too few blocks."""
    found = speed.references.get(reference)
    if found is None:
        return None
    own = found.rounds or speed.blocks
    interval_of = separate_ratio_interval if found.rounds is None else ratio_interval
    theirs, ours = _step_times(found.blocks), _step_times(own)
    return interval_of(theirs, ours) if min(len(theirs), len(ours)) > 1 else None


def _speed(speed: Speed) -> list[Check]:
    """The step must learn, the GPU must not have been slowed down, and the whole interval of each ratio must be above 1."""
    undisturbed = [_undisturbed(speed)] if speed.gpu is not None and speed.gpu.limits is not None else []
    if speed.compilation:
        undisturbed.append(_compiled_before(speed, speed.compilation))
    undisturbed += slowest_rank(speed)
    return [_learns(speed), *undisturbed, *(_faster(speed, mode) for mode in speed.requirements.must_beat)]


def _learns(speed: Speed) -> Check:
    before, after = speed.loss_before, speed.loss_after
    fell = before is not None and after is not None and has_learnt(before, after)
    sentence = f"the loss went from {_figure(before)} to {_figure(after)} while {speed.case.precision} was learning two batches"
    if speed.requirements.negative_control:
        return _check(speed, "learning", "passed", after, before, f"negative control: {sentence}")
    if not speed.requirements.must_learn:
        return _check(speed, "learning", "passed", after, before, f"{sentence}, which need not fall")
    if not fell:
        sentence += f": it must fall by {100 * LEARNED_SHARE:.0f} %"
    return _check(speed, "learning", _passed(fell), after, before, sentence)


def _undisturbed(speed: Speed) -> Check:
    """The case and what it is compared with."""
    dropped = speed.dropped_blocks + sum(r.dropped_blocks for r in speed.references.values())
    kept = len(speed.blocks.seconds) + sum(len(r.blocks.seconds) for r in speed.references.values())
    reasons = ", ".join(speed.gpu.limits) if speed.gpu and speed.gpu.limits else "none"
    return _state(speed, dropped, kept, f" (what held its clock back: {reasons})")


def _state(record: Speed | Parity | Race, dropped: int, kept: int, reasons: str = "") -> Check:
    share = min(1.0, dropped / kept)
    status: CheckStatus = "inconclusive" if share > DROPPED_BLOCKS_SHARE else "passed"
    sentence = f"the GPU was slowed down in {dropped} rounds of blocks, {kept} are kept{reasons}"
    return _check(record, "state of the GPU", status, share, DROPPED_BLOCKS_SHARE, sentence)


def _compiled_before(speed: Speed, compilation: Compilation) -> Check:
    """Something must have been compiled, and nothing while the step was timed, for that is part of its time."""
    late, mode = compilation.while_timed, speed.case.precision
    sentence = f"{mode} was compiled in {compilation.seconds:.1f} s, {compilation.warmth}, before it was timed"
    if not compilation.graphs:
        sentence = f"nothing of {mode} was compiled: expected a model that torch.compile makes a graph of"
    if late:
        sentence += f". It was compiled again while it was timed, which makes its time false: {'; '.join(dict.fromkeys(late))}"
    return _check(speed, "compilation", _passed(compilation.graphs > 0 and not late), float(len(late)), 0.0, sentence)


def _faster(speed: Speed, mode: str) -> Check:
    metric, ratio = f"{SPEEDUP} {mode}", speedup(speed, mode)
    if ratio is None:
        why = speed.missing.get(mode, "it was not asked for" if mode not in speed.references else "one block says nothing")
        sentence = f"{mode} could not be measured, and so not whether {speed.case.precision} is faster: {why}"
        return _check(speed, metric, "inconclusive", None, 1.0, sentence)
    status: CheckStatus = "passed" if ratio.low > 1 else "failed" if ratio.high < 1 else "inconclusive"
    sentence = f"{speed.case.precision} is {ratio.centre:.3g} times as fast as {mode} ({_between(ratio)})"
    if status != "passed":
        whose = "The workload expects it" if mode != speed.requirements.base else "A variant has"
        sentence = sentences(f"{sentence}. {whose} to be faster", bound(speed))
    return _check(speed, metric, status, ratio.centre, 1.0, sentence)


def _quality(quality: Quality, before: Sequence[Quality]) -> list[Check]:
    """That no more than the tolerance is lost must be shown, and the training must be as much better than a prediction that
    has learnt nothing."""
    required = quality.requirements
    if required.negative_control:
        return [_negative_control(quality)]
    if required.tolerance_points is None:
        return []
    tolerance = tolerance_points(quality, required.tolerance_points)
    lost = _accuracy(quality, before, tolerance)
    if quality.dummy_score is None:
        return [lost]
    return [lost, _learnt(quality, quality.dummy_score, tolerance)]


def _accuracy(quality: Quality, before: Sequence[Quality], tolerance: float) -> Check:
    """A one-sided non-inferiority test over seeds, which are paired: same seed, same order of the data."""
    reference, metric, name = quality.reference, quality.metric, quality.case.precision
    if reference is None:
        sentence = f"{metric} of {name} has no reference, and so it is not known what is lost"
        return _check(quality, metric, "inconclusive", None, -tolerance, sentence)
    gains = [round(points, 9) for points in quality.gains([reference])]  # so that exactly the tolerance is within it
    interval = None
    if len(gains) >= LEAST_SEEDS:
        deviation = pooled_deviation([gains, *_other_gains(quality, reference, before)])
        interval = mean_interval(gains, deviation, NON_INFERIORITY_CONFIDENCE)
    points = round(quality.points_above(reference.mean), 9)
    status = _expected(quality, _not_inferior(points, interval, tolerance))
    mean, seeds = quality.mean(metric), len(quality.trainings)
    value, unit = (f"{mean:.3f}", "% of it (+ is better)") if quality.lower_is_better else (f"{100 * mean:.2f} %", "points")
    sentence = (
        f"{metric} of {name} is {value}, {points:+.2f} {unit} from {reference.precision} over "
        f"{seeds} {'seed' if seeds == 1 else 'seeds'}{_lowest(interval)}. At most {tolerance:g} may be lost"
    )
    if status == "expected_failure":
        sentence += ", and without FP32 masters it is known to lose some"
    if status == "passed" and (why := saturation(quality)):
        status, sentence = "saturated", sentences(sentence, why.partition(": ")[2])
    return _check(quality, metric, status, points, -tolerance, sentence)


def _other_gains(quality: Quality, reference: Scores, before: Sequence[Quality]) -> list[list[float]]:
    """Those of 16-bit modes of the same workload. None for FP32, which does not differ from itself."""
    if quality.case.precision == reference.precision:
        return []
    case = quality.case.in_precision("")
    same = [q for q in before if q.case.in_precision("") == case and q.requirements.low_precision]
    gains = [q.gains([q.reference]) for q in same if q.reference]
    return [points for points in gains if all(map(math.isfinite, points))]


def _not_inferior(points: float, interval: Interval | None, tolerance: float) -> CheckStatus:
    """`inconclusive` where more may be lost than was seen."""
    if interval is None:
        return _passed(points >= -tolerance)
    if interval.low >= -tolerance:
        return "passed"
    return "failed" if points < -tolerance else "inconclusive"


def _lowest(interval: Interval | None) -> str:
    if interval is None:
        return f", too few for a test, which takes {LEAST_SEEDS}"
    return f" ({100 * NON_INFERIORITY_CONFIDENCE:.0f} % bound {interval.low:+.2f})"


def _learnt(quality: Quality, dummy_score: float, tolerance: float) -> Check:
    above = quality.points_above(dummy_score)
    unit = "% of it" if quality.lower_is_better else "points"
    sentence = (
        f"{quality.metric} of {quality.case.precision} is {above:+.2f} {unit} from what a prediction reaches that has learnt "
        f"nothing ({dummy_score:.4g}). It must be more than {tolerance:g} better, or the comparison shows nothing"
    )
    return _check(quality, "learning", _expected(quality, _passed(above > tolerance)), above, tolerance, sentence)


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
    return _check(quality, quality.metric, "passed", points, None, sentence)


def _numerics(numerics: Numerics) -> list[Check]:
    """Each error must be within its limit, and the mode must compute in the bits that its name says. Of what is not finite no
    error says anything, and one sentence is enough."""
    required = numerics.requirements
    errors = [
        ("loss error", numerics.loss_error, required.loss_error),
        ("gradient error", numerics.gradient_error, required.gradient_error),
        ("update error", numerics.update_error, required.update_error),
        ("flushed share", numerics.flushed_share, required.flushed_share),
    ]
    if numerics.not_finite:
        return [_check(numerics, "finite", "failed", None, None, numerics.not_finite)]
    if required.negative_control:
        errors = errors[:1]  # its gradients are known to be flushed, its updates to be none
    found = [_within(numerics, metric, value, limit) for metric, value, limit in errors if limit is not None]
    if numerics.tensors and not required.negative_control:
        found += _by_tensor(numerics, numerics.tensors)
    if required.low_precision_share is not None and numerics.low_precision_flops_share is not None:
        found.append(_in_its_bits(numerics, numerics.low_precision_flops_share, *required.low_precision_share))
    return found


def _within(numerics: Numerics, metric: str, value: float | None, limit: float) -> Check:
    sentence = (
        f"{metric} of {numerics.case.precision} against {numerics.reference} is {_figure(value)}, at most {limit:.2g} may be"
    )
    return _check(numerics, metric, _passed(value is not None and value <= limit), value, limit, sentence)


def _in_its_bits(numerics: Numerics, share: float, low: float, high: float) -> Check:
    """What somebody asked to be in FP32 is not missed."""
    low *= max(0.0, 1 - MOST_OF_A_STEP * numerics.fp32_on_purpose)
    reached, limit = low <= share <= high, low if share < low else high
    digits = next((n for n in range(6) if f"{100 * share:.{n}f}" != f"{100 * limit:.{n}f}"), 0) if not reached else 0
    asked = (
        f". {100 * numerics.fp32_on_purpose:.0f} % of a forward pass are in FP32 on purpose" if numerics.fp32_on_purpose else ""
    )
    sentence = (
        f"{numerics.case.precision} does {100 * share:.{digits}f} % of its FLOPs in 16 bits, expected "
        f"{100 * low:.{digits}f} to {100 * high:.0f} %{asked}"
    )
    return _check(numerics, "16-bit share", _passed(reached), share, limit, sentence)


def _by_tensor(numerics: Numerics, tensors: Sequence[TensorErrors]) -> list[Check]:
    """No tensor's gradient may be off by more than it may be, and no updates of one whose gradient is not: what is wrong in one
    layer is lost in a sum over all."""
    gradients = [(t, t.gradient_error, t.gradient_limit) for t in tensors]
    updates = [(t, t.update_error, t.update_limit) for t in tensors if t.gradient_share <= 1]
    found = []
    for what, errors in (("gradient", gradients), ("update", updates)):
        said = [(t, error, limit) for t, error, limit in errors if error is not None and limit]
        if said:
            found.append(_worst(numerics, what, said))
    return found


def _worst(numerics: Numerics, what: str, errors: Sequence[tuple[TensorErrors, float, float]]) -> Check:
    wrong = [(t, error, limit) for t, error, limit in errors if error > limit or error >= 1]
    worst, error, limit = max(wrong or errors, key=lambda said: said[1] / said[2])
    name = numerics.case.precision
    sentence = f"the {what} of {worst.where} in {name} is {error:.3g} off from fp64, at most {limit:.2g} may be"
    if what == "gradient" and worst.base_error is not None:
        sentence += f". In {numerics.requirements.base}, its base, it is {worst.base_error:.3g} off"
    if error == 1:
        sentence += f". All of it is missing: {100 * worst.norm_share:.2g} % of the norm of the whole gradient"
    others = [t.name for t, _, _ in wrong if t is not worst]
    if others:
        more = f" and {len(others) - NAMED} more" if len(others) > NAMED else ""
        sentence += f". Too much is also that of {', '.join(others[:NAMED])}{more}"
    return _check(numerics, f"worst tensor's {what}", _passed(not wrong), error, limit, sentence)


def _parity(parity: Parity) -> list[Check]:
    """On a GPU the interval of the ratio must not lie below what is required; of a CPU it is only said. Where trainings were
    compared, ours must not score more than the tolerance less."""
    required, found = parity.requirements, []
    if required.at_least is not None:
        ratio = ratio_interval(_step_times(parity.theirs), _step_times(parity.ours))
        who = f"{parity.case.precision} as {parity.case.execution}", f"{parity.trainer} {parity.trainer_version}"
        found.append(_as_fast(parity, f"{SPEEDUP} {parity.trainer}", ratio, who, required.at_least))
    if parity.device != "cpu":
        found.append(_state(parity, parity.dropped_blocks, len(parity.ours.seconds)))
    if parity.scores and required.tolerance_points is not None:
        found.append(_scores_as_well(parity, required.tolerance_points))
    return found


def _race(race: Race) -> list[Check]:
    """The same of our fastest step against the fastest other, and of ours against torch's own in the same mode. To be
    faster than those that did not fail is not enough."""
    required = race.requirements
    asked = (
        ("the fastest other", race.fastest, required.at_least),
        (f"reduce-overhead in {race.case.precision}", race.same_mode, required.same_mode_at_least),
    )
    found = [_took_turns(race, f"{SPEEDUP} {what}", turns, least) for what, turns, least in asked if least is not None]
    found += [_check(race, name, "inconclusive", None, None, f"{name} failed: {why}") for name, why in race.failed.items()]
    found += [_compiled_again(race, entrant) for entrant in race.timed if entrant.while_timed]
    if race.device != "cpu" and race.turns:
        dropped = sum(turns.ours.dropped_blocks for turns in race.turns)
        found.append(_state(race, dropped, sum(len(turns.ours.blocks.seconds) for turns in race.turns)))
    return found


def _took_turns(race: Race, metric: str, turns: Turns | None, at_least: float) -> Check:
    if turns is None:
        why = "; ".join({**race.missing, **race.failed}.values())
        return _check(race, metric, "inconclusive", None, at_least, f"{metric} is not known: {why}")
    interval_of = separate_ratio_interval if turns.apart else ratio_interval
    ratio = interval_of(_step_times(turns.theirs.blocks), _step_times(turns.ours.blocks))
    return _as_fast(race, metric, ratio, (turns.ours.called, turns.theirs.called), at_least)


def _compiled_again(race: Race, entrant: Entrant) -> Check:
    why = "; ".join(dict.fromkeys(entrant.while_timed))
    sentence = f"{entrant.called} was compiled while it was timed, which makes its time false: {why}"
    return _check(race, entrant.case.id, "inconclusive", float(len(entrant.while_timed)), 0.0, sentence)


def _step_times(blocks: Blocks) -> list[float]:
    """Seconds of a step in each block."""
    return [seconds / blocks.steps for seconds in blocks.seconds]


def _as_fast(record: Parity | Race, metric: str, ratio: Interval, who: tuple[str, str], at_least: float) -> Check:
    """who: ours and theirs, in a sentence."""
    status: CheckStatus = "failed" if ratio.high < at_least else "inconclusive"
    if record.device == "cpu" or ratio.centre >= at_least:
        status = "passed"
    ours, theirs = who
    sentence = f"{ours} is {ratio.centre:.3g} times as fast as {theirs} ({_between(ratio)}). A GPU must reach {at_least:g}"
    return _check(record, metric, status, ratio.centre, at_least, sentence)


def _scores_as_well(parity: Parity, tolerance: float) -> Check:
    points = round(100 * (parity.scores["ours"] - parity.scores["theirs"]), 9)
    sentence = f"{parity.case.precision} scores {points:+.2f} points against {parity.trainer}. {tolerance:g} may be lost"
    return _check(parity, "score", _passed(points >= -tolerance), points, -tolerance, sentence)


def _drift(drift: Drift, before: Sequence[Result]) -> list[Check]:
    """It fails where it is so large that what was shown to be faster than such a reference may not be."""
    case = drift.case.in_precision("")
    shown = [check for r in before if r.record.case.in_precision("") == case for check in r.checks if check.passed]
    return [
        _drifted(drift, mode, share, [check for check in shown if check.metric == f"{SPEEDUP} {mode}"])
        for mode, share in drift.shares.items()
    ]


def _drifted(drift: Drift, mode: str, share: float, shown: Sequence[Check]) -> Check:
    speedups = {check.case: check.value for check in shown if check.value is not None}
    doubtful = [name for name, value in speedups.items() if value * (1 - abs(share)) <= 1]
    limit = 100 * (1 - 1 / min(speedups.values())) if speedups else None
    direction = "more" if share > 0 else "less"
    much = f"{100 * abs(share):.1f} % {direction}"
    sentence = f"a step of {mode} took {much} time at the end of the workload than at its beginning"
    if doubtful:
        sentence += f". So {', '.join(doubtful)} may not be faster"
    return _check(drift, "drift", _passed(not doubtful), 100 * share, limit, sentence)


def _passed(reached: bool) -> CheckStatus:
    return "passed" if reached else "failed"


def _expected(quality: Quality, status: CheckStatus) -> CheckStatus:
    """Where a mode is known to lose small updates, that it loses accuracy is no fault."""
    return "expected_failure" if quality.requirements.loses_updates and status != "passed" else status


def _check(
    record: AnyRecord, metric: str, status: CheckStatus, value: float | None, limit: float | None, sentence: str
) -> Check:
    return Check(
        kind=record.kind,
        case=record.case.id,
        metric=metric,
        status=status,
        value=value,
        limit=limit,
        sentence=f"{record.case.subject}: {sentence}",
    )


def _between(ratio: Interval) -> str:
    return f"{100 * FASTER_CONFIDENCE:.0f} % interval {ratio.low:.3g} to {ratio.high:.3g}"


def _figure(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.3g}"
