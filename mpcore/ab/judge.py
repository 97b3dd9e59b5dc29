"""From the pairs of a case to its verdicts. Pure functions."""

import math
import statistics
from collections.abc import Sequence

from mpcore.kernels import explain_difference
from mpcore.policy import PAIR_MARGIN, PAIR_MEMORY_MARGIN
from mpcore.records import Case, Pair, Profile, Status, Timing, Verdict
from mpcore.stats import Interval, judged_pairs

KIND = "timing"
CONFIRMED = 0.99
"""Confidence of the pairs that are to confirm what others have said."""


def margin(timing: Timing) -> float:
    """Per cent that a step may take more: of a captured one less than of one that Python launches."""
    return PAIR_MARGIN["cpu" if timing.device == "cpu" else "eager" if timing.pool_bytes is None else "graph"]


def judged(pairs: Sequence[Pair], confidence: float, per_cent: float) -> tuple[Interval, Status]:
    """The change of a step's time from base to head, in logarithms, and what it means. per_cent: more is worse."""
    return judged_pairs(*_sides(pairs), confidence, math.log1p(per_cent / 100))


def time_verdict(
    case: Case,
    pairs: Sequence[Pair],
    confirmation: Sequence[Pair],
    confidence: float,
    per_cent: float,
    profiles: tuple[Profile, Profile] | None = None,
) -> Verdict:
    """`worse` stands where the confirmation says so again; without two pairs of that it is `undecided`. profiles: of base and
    head, which say why."""
    interval, status = judged(pairs, confidence, per_cent)
    base, head = (f"{1000 * statistics.median(s):.4g} ms" for s in _sides(pairs))
    sentence = (
        f"{case.id}: a step takes {head} in head and {base} in base, {_per_cent(interval)} in {len(pairs)} pairs; "
        f"more than {per_cent:g} % is worse"
    )
    if status == "worse":
        again, said = judged(confirmation, CONFIRMED, per_cent) if len(confirmation) > 1 else (None, None)
        if again and said == "worse":
            sentence += f"; {len(confirmation)} fresh pairs confirm it, {_per_cent(again)}"
            sentence += f"; {explain_difference(*profiles)}" if profiles else ""
        else:
            status = "undecided"
            found = "could not be measured" if again is None else f"do not confirm it, {_per_cent(again)}"
            sentence += f"; fresh pairs {found}"
    elif status == "undecided":
        sentence += "; that does not decide it"
    return Verdict(
        kind=KIND,
        case=case.id,
        metric="step time",
        status=status,
        value=100 * math.expm1(interval.centre),
        limit=per_cent,
        ratio=math.exp(interval.centre),
        interval=(math.exp(interval.low), math.exp(interval.high)),
        compared=True,
        sentence=sentence,
    )


def memory_verdict(case: Case, base_bytes: int, head_bytes: int) -> Verdict:
    """Of what the graph holds: it repeats, and needs no statistics."""
    ratio = head_bytes / base_bytes
    more, mib = 100 * (ratio - 1), (head_bytes / 2**20, base_bytes / 2**20)
    status: Status = "worse" if more > PAIR_MEMORY_MARGIN else "better" if more < -PAIR_MEMORY_MARGIN else "same"
    sentence = (
        f"{case.id}: its graph holds {mib[0]:.1f} MiB in head and {mib[1]:.1f} MiB in base, {more:+.1f} %; "
        f"more than {PAIR_MEMORY_MARGIN:g} % is worse"
    )
    return Verdict(
        kind=KIND,
        case=case.id,
        metric="graph memory",
        status=status,
        value=more,
        limit=PAIR_MEMORY_MARGIN,
        ratio=ratio,
        compared=True,
        sentence=sentence,
    )


def new_verdict(case: Case) -> Verdict:
    return Verdict(
        kind=KIND,
        case=case.id,
        metric="step time",
        status="new",
        value=None,
        limit=None,
        compared=True,
        sentence=f"{case.id}: only head has it, there is nothing to compare it with",
    )


def _sides(pairs: Sequence[Pair]) -> tuple[list[float], list[float]]:
    return [pair.base_seconds for pair in pairs], [pair.head_seconds for pair in pairs]


def _per_cent(interval: Interval) -> str:
    low, centre, high = (100 * math.expm1(bound) for bound in (interval.low, interval.centre, interval.high))
    return f"{centre:+.2f} % ({low:+.2f} to {high:+.2f})"
