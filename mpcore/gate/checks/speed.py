"""What the time of a step must show: it learns, it is faster than what it must beat, and nothing disturbed it."""

from mpcore.errors import sentences
from mpcore.gate.checks.check import SPEEDUP, figure, new_check, passed, state_of_gpu, step_times, times_as_fast
from mpcore.gate.checks.ranks import slowest_rank
from mpcore.gate.checks.work import NOT_COMPILED
from mpcore.gate.digits import as_judged
from mpcore.gate.intervals import Interval, ratio_interval, separate_ratio_interval
from mpcore.gate.limits import OWN_LEARNED_SHARE, has_learnt
from mpcore.kernels.bound import bound
from mpcore.kernels.half import Half, halves_of_products
from mpcore.kernels.names import short
from mpcore.records import Check, CheckStatus, Compilation, Speed


def speed_checks(speed: Speed) -> list[Check]:
    """The step must learn, in the format of its mode. The GPU must not have been slowed down, and the whole interval of each
    ratio must be above 1."""
    undisturbed = [_undisturbed(speed)] if speed.gpu is not None and speed.gpu.limits is not None else []
    if speed.compilation:
        undisturbed.append(_compiled_before(speed, speed.compilation))
    undisturbed += slowest_rank(speed)
    faster = [_faster(speed, mode) for mode in speed.requirements.must_beat]
    return [_learns(speed), *_in_its_format(speed), *undisturbed, *faster]


def speedup(speed: Speed, reference: str) -> Interval | None:
    """How many times as fast as `reference`, with its 99 % interval; None where that was not measured, or in too few blocks."""
    found = speed.references.get(reference)
    if found is None:
        return None
    own = found.rounds or speed.blocks
    interval_of = separate_ratio_interval if found.rounds is None else ratio_interval
    theirs, ours = step_times(found.blocks), step_times(own)
    return interval_of(theirs, ours) if min(len(theirs), len(ours)) > 1 else None


def _learns(speed: Speed) -> Check:
    before, after, mode = speed.loss_before, speed.loss_after, speed.case.precision
    share = speed.requirements.learned_share
    fell = before is not None and after is not None and has_learnt(before, after, share)
    said = [figure(before), figure(after)]
    if before is not None and after is not None:
        said = as_judged(lambda before, after: has_learnt(before, after, share), (before, ".3g"), (after, ".3g"))
    sentence = f"the loss went from {said[0]} to {said[1]} while {mode} was learning two batches"
    if speed.requirements.negative_control:
        return new_check(speed, "learning", "passed", after, before, f"negative control: {sentence}")
    if before is None:
        sentence = f"the loss of {mode} is not finite in its first steps already, before it learns"
    elif not speed.requirements.must_learn and after is not None:
        return new_check(speed, "learning", "passed", after, before, f"{sentence}, which need not fall")
    elif not fell:
        sentence += f": it must {'be finite' if after is None else f'fall by {100 * share:.0f} %'}"
        sentence += ", unless must_learn = False says otherwise" if after is not None and share == OWN_LEARNED_SHARE else ""
    return new_check(speed, "learning", passed(fell), after, before, sentence)


def _in_its_format(speed: Speed) -> list[Check]:
    """A BF16 mode fails whose products are all in FP16, and the reverse. A model that asks for FP16 in a part has BF16, too."""
    mode = speed.requirements.base or speed.case.precision
    own: Half | None = "BF16" if mode.startswith("bf16") else "FP16" if mode.startswith("fp16") else None
    found = halves_of_products(speed.profile.kernels) if speed.profile and own else {}
    if own is None or not found or own in found:
        return []
    [(other, kernel)] = found.items()
    sentence = f"{speed.case.precision} multiplies in {other} and nowhere in {own}, as {short(kernel)} shows"
    cached = "A cache of torch before 2.13 gives code of another format" if speed.compilation else ""
    return [new_check(speed, "format", "failed", None, None, sentences(sentence, cached))]


def _undisturbed(speed: Speed) -> Check:
    """The case and what it is compared with."""
    dropped = speed.dropped_blocks + sum(r.dropped_blocks for r in speed.references.values())
    kept = len(speed.blocks.seconds) + sum(len(r.blocks.seconds) for r in speed.references.values())
    reasons = ", ".join(speed.gpu.limits) if speed.gpu and speed.gpu.limits else "none"
    return state_of_gpu(speed, dropped, kept, f" (what held its clock back: {reasons})")


def _compiled_before(speed: Speed, compilation: Compilation) -> Check:
    """Something must have been compiled, and nothing while the step was timed, for that is part of its time."""
    late, mode = compilation.while_timed, speed.case.precision
    sentence = f"{mode} was compiled in {compilation.seconds:.1f} s, {compilation.warmth}, before it was timed"
    if not compilation.graphs:
        sentence = NOT_COMPILED.format(mode)
    if late:
        sentence += f". It was compiled again while it was timed, which makes its time false: {'; '.join(dict.fromkeys(late))}"
    return new_check(speed, "compilation", passed(compilation.graphs > 0 and not late), float(len(late)), 0.0, sentence)


def _faster(speed: Speed, mode: str) -> Check:
    metric, ratio = f"{SPEEDUP} {mode}", speedup(speed, mode)
    if ratio is None:
        why = speed.missing.get(mode, "it was not asked for" if mode not in speed.references else "one block says nothing")
        sentence = f"{mode} could not be measured, and so not whether {speed.case.precision} is faster: {why}"
        return new_check(speed, metric, "inconclusive", None, 1.0, sentence)
    status: CheckStatus = "passed" if ratio.low > 1 else "failed" if ratio.high < 1 else "inconclusive"
    sentence = times_as_fast(speed.case.precision, mode, ratio, 1.0)
    if status != "passed":
        whose = "The workload expects it" if mode != speed.requirements.base else "A variant has"
        sentence = sentences(f"{sentence}. {whose} to be faster", bound(speed))
    return new_check(speed, metric, status, ratio.centre, 1.0, sentence)
