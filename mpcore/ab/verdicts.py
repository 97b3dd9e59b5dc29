"""From the pairs of a case to its regressions. Pure functions; margins are in per cent."""

import math
import statistics
from collections.abc import Sequence

import numpy as np

from mpcore.errors import sentences
from mpcore.gate.digits import as_judged, beside_margin, told_apart
from mpcore.gate.intervals import Interval, judged_pairs, odd_excess, odd_pairs
from mpcore.gate.limits import (
    CONFIRMING_CONFIDENCE,
    CONFIRMING_PAIRS,
    GRAPH_MEMORY_NOISE_BYTES,
    ODD_PAIR,
    PAIR_BLIND_PERCENT,
)
from mpcore.gate.margins import Margins, allowed_bytes
from mpcore.kernels.difference import explain_difference
from mpcore.records import Case, Pair, Profile, Regression, RegressionStatus, Timing

KIND = "timing"


def time_margin(timing: Timing, margins: Margins) -> float:
    """What a step may take more: of a captured one less than of one that Python launches, where none is set."""
    return margins.pair_time_percent("cpu" if timing.device == "cpu" else "eager" if timing.pool_bytes is None else "graph")


def judged(pairs: Sequence[Pair], confidence: float, margin: float) -> tuple[Interval, RegressionStatus]:
    """The change of a step's time from base to head, in logarithms, and what it means. Needs two pairs at least."""
    return judged_pairs(*_seconds(pairs), confidence, math.log1p(margin / 100))


def _unconfirmed(count: int, change: Interval | None, margin: float) -> str:
    """Of the fresh pairs that were to confirm it. Fewer than that say little."""
    if change is None:
        return "fresh pairs could not be measured"
    measured = (
        "fresh pairs" if count >= CONFIRMING_PAIRS else f"the {count} of {CONFIRMING_PAIRS} fresh pairs that were measured"
    )
    return f"{measured} do not confirm it, {_percent(change, margin)}"


def time_regression(
    case: Case,
    pairs: Sequence[Pair],
    confirmation: Sequence[Pair],
    confidence: float,
    margin: float,
    profiles: tuple[Profile, Profile] | None = None,
    blind: float = PAIR_BLIND_PERCENT,
) -> Regression:
    """`worse` stands where the confirmation says so again; without two pairs of that it is `undecided`. profiles: of base and
    head, which say why. blind: per cent that must be excluded, or what is undecided is `blind`."""
    change, status = judged(pairs, confidence, margin)
    base, head = (f"{1000 * statistics.median(seconds):.4g} ms" for seconds in _seconds(pairs))
    sentence = (
        f"{case.id}: a step takes {head} in head and {base} in base, {_percent(change, margin)} in {len(pairs)} pairs. "
        f"More than {margin:g} % is worse{_set_aside(pairs)}"
    )
    if status == "worse":
        again, said = judged(confirmation, CONFIRMING_CONFIDENCE, margin) if len(confirmation) > 1 else (None, None)
        if again and said == "worse":
            sentence += f". {len(confirmation)} fresh pairs confirm it, {_percent(again, margin)}"
            more = statistics.median(_seconds(pairs)[1]) - statistics.median(_seconds(pairs)[0])
            sentence = sentences(sentence, explain_difference(*profiles, more=more) if profiles else "")
        else:
            status = "undecided"
            sentence = sentences(sentence, _unconfirmed(len(confirmation), again, margin))
        change = again if again and status == "undecided" else change
    elif status == "undecided":
        sentence += ". That does not decide it"
    if status == "undecided":
        bound = 100 * math.expm1(change.high)
        within, _ = told_apart(bound, blind, ".3g")
        status = "blind" if bound > blind else status
        sentence += f". {within} % cannot be excluded" + (f", and {blind:g} % must be" if status == "blind" else "")
    return Regression(
        kind=KIND,
        case=case.id,
        metric="step time",
        status=status,
        value=100 * math.expm1(change.centre),
        limit=margin,
        ratio=math.exp(change.centre),
        interval=(math.exp(change.low), math.exp(change.high)),
        sentence=sentence,
    )


def memory_regression(case: Case, base_bytes: int, head_bytes: int, margin: float) -> Regression:
    """Of what the graph holds: it repeats, and needs no statistics."""
    ratio = head_bytes / base_bytes
    allowed, margin_said = allowed_bytes(base_bytes, margin, GRAPH_MEMORY_NOISE_BYTES)
    more, limit = 100 * (head_bytes - base_bytes) / base_bytes, 100 * allowed / base_bytes
    mib = head_bytes / 2**20, base_bytes / 2**20
    said, _ = told_apart(more, math.copysign(limit, more), "+.1f")
    sentence = (
        f"{case.id}: its graph holds {mib[0]:.1f} MiB in head and {mib[1]:.1f} MiB in base, {said} %. "
        f"More than {margin_said} is worse"
    )
    return Regression(
        kind=KIND,
        case=case.id,
        metric="graph memory",
        status=Interval(*[float(head_bytes - base_bytes)] * 3).judged(allowed),
        value=more,
        limit=limit,
        ratio=ratio,
        sentence=sentence,
    )


def only_in_head(case: Case, kind: str = KIND, metric: str = "step time") -> Regression:
    """Of a case that base does not run."""
    sentence = f"{case.id}: only head has it, there is nothing to compare it with"
    return Regression(kind=kind, case=case.id, metric=metric, status="new", value=None, limit=None, sentence=sentence)


def interrupted_regression(case: Case, said: str) -> Regression:
    """Of a case that was hardly begun."""
    sentence = f"{case.id}: {said}"
    return Regression(
        kind=KIND, case=case.id, metric="step time", status="undecided", value=None, limit=None, sentence=sentence
    )


def _set_aside(pairs: Sequence[Pair]) -> str:
    """What is to be said of odd pairs, "" where there is none."""
    base, head = map(np.asarray, _seconds(pairs))
    changes = np.log(head / base)
    odd = odd_pairs(changes)
    count = int(odd.sum())
    if not count:
        return ""
    slower = (count + int(odd_excess(changes, odd))) // 2
    return (
        f". {count} of the pairs {'is' if count == 1 else 'are'} set aside, more than {100 * ODD_PAIR:g} % off from the "
        f"others, with head slower in {slower} and faster in {count - slower}"
    )


def _seconds(pairs: Sequence[Pair]) -> tuple[list[float], list[float]]:
    return [pair.base_seconds for pair in pairs], [pair.head_seconds for pair in pairs]


def _percent(change: Interval, margin: float) -> str:
    low, centre, high = (100 * math.expm1(bound) for bound in (change.low, change.centre, change.high))
    least, most, _ = as_judged(beside_margin, (low, "+.2f"), (high, "+.2f"), (margin, "g"))
    return f"{centre:+.2f} % ({least} to {most})"
