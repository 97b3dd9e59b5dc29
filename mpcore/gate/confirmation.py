"""What becomes of `worse` once it has been measured again: alone, and beside the commit that was accepted."""

import math
import statistics
from collections.abc import Mapping, Sequence

from mpcore.gate.intervals import Interval, judged_pairs
from mpcore.gate.limits import CONFIRMING_CONFIDENCE
from mpcore.gate.margins import Margins
from mpcore.gate.regressions import COMPILE_TIME, STEP_TIME, how_run, percent
from mpcore.records import Pair, PairedConfirmation, Quality, Regression, RegressionStatus, Result, Speed


def needs_confirmation(result: Result) -> bool:
    """Whether a time or a memory is worse, and was not measured again yet."""
    worse = any(r.status == "worse" and r.metric != COMPILE_TIME for r in result.regressions)
    return worse and isinstance(result.record, Speed) and result.confirmation is None


def needs_pairs(result: Result) -> bool:
    """Whether a time is worse twice over, and nobody knows yet whether it is the code."""
    slower = any(r.status == "worse" and r.metric == STEP_TIME for r in result.regressions)
    return slower and isinstance(result.record, Speed) and result.pairs is None


def needs_seeds(result: Result) -> bool:
    """Whether trainings have not decided yet if more accuracy is lost than may be."""
    trained = isinstance(result.record, Quality)
    return trained and any(check.status == "inconclusive" and check.value is not None for check in result.checks)


def confirmed(first: Sequence[Regression], second: Sequence[Regression] | str) -> list[Regression]:
    """The first ones, in which `worse` stands only where a second measurement in a fresh process says so again. Where that
    could not be made, for the reason given, it stands, and so does the time to compile."""
    again = {} if isinstance(second, str) else {regression.metric: regression for regression in second}
    unmeasured = f". It could not be measured again: {second}" if isinstance(second, str) else None
    return [
        _confirmed(found, again.get(found.metric), unmeasured)
        if found.status == "worse" and found.metric != COMPILE_TIME
        else found
        for found in first
    ]


def caused(found: Sequence[Regression], pairs: PairedConfirmation | str, speed: Speed, margins: Margins) -> list[Regression]:
    """The same, in which pairs with the accepted commit tell whether a time is worse by the code, or by the machine or the
    software. pairs: or why there are none."""
    margin = _margin(speed, margins)
    return [_caused(r, pairs, margin) if r.status == "worse" and r.metric == STEP_TIME else r for r in found]


def common_caused(common: Regression, pairs: PairedConfirmation | str, margins: Margins) -> Regression:
    """The same of what all cases share, by the median over those that were measured."""
    margin = math.log1p(margins.pair_time_percent("graph") / 100)
    return _caused(common, pairs, margin) if common.status == "worse" else common


def is_slower(pairs: Mapping[str, Sequence[Pair]], speed: Speed, margins: Margins) -> bool:
    """Whether the second of each pair is, by the median over the cases, that are run as `speed` is."""
    return _judged(pairs, _margin(speed, margins))[1] == "worse"


def _margin(speed: Speed, margins: Margins) -> float:
    return math.log1p(margins.pair_time_percent(how_run(speed)) / 100)


def _confirmed(first: Regression, second: Regression | None, unmeasured: str | None) -> Regression:
    if unmeasured is not None:
        return _said(first, "worse", unmeasured)
    if second is not None and second.status == "worse":
        return _said(first, "worse", ". Measured again in a fresh process, it is so again")
    says = f". {second.sentence}" if second else ""
    return _said(first, "undecided", f". Measured again in a fresh process, it is not so{says}")


def _caused(found: Regression, pairs: PairedConfirmation | str, margin: float) -> Regression:
    """Code that is slower than the accepted code, side by side today, is at fault; code that is not cannot be. Then another
    version of the software may be, which is for a person to accept; a machine is nobody's regression. Pairs that differ too
    much to tell confirm nothing."""
    if isinstance(pairs, str):
        return _said(found, "worse", f". It was not measured beside the accepted commit: {pairs}")
    change, status = _judged(pairs.pairs, margin)
    beside = (
        f". Beside the accepted commit {pairs.commit[:8]} it takes {_between(change)} in {_count(pairs.pairs)} pairs of today"
    )
    if status == "worse":
        return _in_target(_said(found, "worse", f"{beside}. It is the code"), pairs, margin)
    if status == "undecided":
        return _said(found, "undecided", f"{beside}. That does not confirm that it is the code")
    if pairs.other_software:
        return _said(found, "worse", f"{beside}. It is not the code, but the machine or the software ({pairs.other_software})")
    return _said(found, "undecided", f"{beside}. It is not the code. The software is the same, so that it is the machine")


def _in_target(found: Regression, pairs: PairedConfirmation, margin: float) -> Regression:
    """What the branch has already that a change is to go into is not the fault of the change."""
    if pairs.target_reason:
        unmeasured = f". It was not measured beside {pairs.target}, which it is to go into: {pairs.target_reason}"
        return _said(found, "worse", unmeasured)
    if not pairs.target_pairs:
        return found
    change, status = _judged(pairs.target_pairs, margin)
    beside = f". Beside {pairs.target}, which it is to go into, it takes {_between(change)}"
    if status in ("same", "better"):
        return _said(found, "undecided", f"{beside}. {pairs.target} itself has regressed, and not this change")
    return _said(found, "worse", beside)


def _judged(pairs: Mapping[str, Sequence[Pair]], margin: float) -> tuple[Interval, RegressionStatus]:
    """Pair by pair the median over the cases."""
    ratios = [[math.log(pair.head_seconds / pair.base_seconds) for pair in of_case] for of_case in pairs.values()]
    shared = [math.exp(statistics.median(of_pair)) for of_pair in zip(*ratios, strict=False)]
    return judged_pairs([1.0] * len(shared), shared, CONFIRMING_CONFIDENCE, margin)


def _count(pairs: Mapping[str, Sequence[Pair]]) -> int:
    return min(map(len, pairs.values()))


def _between(change: Interval) -> str:
    low, centre, high = (percent(bound) for bound in (change.low, change.centre, change.high))
    return f"{centre} ({low} to {high})"


def _said(regression: Regression, status: RegressionStatus, more: str) -> Regression:
    return regression.model_copy(update={"status": status, "sentence": regression.sentence + more})
