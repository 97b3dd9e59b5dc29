"""What `ab` says of a tree against itself, and against itself with a slowdown planted: measured."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy import stats
from scipy.optimize import brentq

from mpcore.ab import PAIRS, Side, compare
from mpcore.ab.compare import CONFIRMING
from mpcore.ab.judge import CONFIRMED
from mpcore.calibrate.simulate import LOOK, MARGIN, POWER, Share
from mpcore.calibrate.tables import stated, table
from mpcore.records import Compared, Comparison, Selection, Status
from mpcore.stats import pooled_deviation

Progress = Callable[[str], None]


def measured(
    tree: Path, selection: Selection, handicaps: Sequence[float], repeat: int, progress: Progress = lambda line: None
) -> Iterator[str]:
    """Markdown, a paragraph at a time. `handicaps`: how many times longer a step of the head is made to take, beside 1. Raises
    RunnerError where `tree` lists no cases."""
    planted = list(dict.fromkeys([1.0, *handicaps]))
    rounds = {handicap: [_compared(tree, selection, handicap, i, progress) for i in range(repeat)] for handicap in planted}
    found = {handicap: [case for comparison in of for case in comparison.cases] for handicap, of in rounds.items()}
    yield f"Base against head, {repeat} times for each planted slowdown:"
    yield table(["planted", "measured", "of", *STATUSES, "found", "share", "95 % interval"], _rows(found))
    lost = [f"- {case}: {why}" for of in rounds.values() for c in of for case, why in (c.failures | c.skipped).items()]
    if lost:
        yield "Not measured:\n" + "\n".join(dict.fromkeys(lost))
    changes = [_changes(case) for of in found.values() for case in of]
    if any(len(of_case) > 1 for of_case in changes):
        deviation = pooled_deviation([of_case for of_case in changes if of_case]).value
        size = 100 * math.expm1(smallest_of(deviation))
        yield (
            f"Pairs of one case spread by {100 * deviation:.3g} % (standard deviation, pooled). With that, {PAIRS[0]} pairs, "
            f"and {CONFIRMING} to confirm, find a slowdown of {size:.2f} % 95 times in 100 (noncentral t)."
        )


STATUSES: Sequence[Status] = ("worse", "undecided", "same", "better")


def smallest_of(deviation: float) -> float:
    """The change, in logarithms, that is found 95 times in 100 at the first look and confirmed, where pairs spread by
    `deviation`, too: how often each finds what lies so far beyond the margin is a noncentral t-distribution."""

    def power(beyond: float) -> float:
        found = 1.0
        for pairs, confidence in ((PAIRS[0], LOOK), (CONFIRMING, CONFIRMED)):
            limit = stats.t.ppf(confidence, pairs - 1)
            found *= float(stats.nct.sf(limit, pairs - 1, beyond * math.sqrt(pairs)))
        return found

    return MARGIN + deviation * float(brentq(lambda beyond: power(beyond) - POWER, 0.0, 100.0))


def _compared(tree: Path, selection: Selection, handicap: float, seed: int, progress: Progress) -> Comparison:
    progress(f"planted {_percent(math.log(handicap))}, comparison {seed + 1}")
    sides = Side(name="base", tree=tree), Side(name="head", tree=tree, handicap=handicap)
    return compare(*sides, selection, seed=seed, progress=progress)


def _rows(found: Mapping[float, Sequence[Compared]]) -> Iterator[list[str]]:
    for handicap, cases in found.items():
        counts = Counter(_status(case) for case in cases)
        change = float(np.mean([np.mean(_changes(case)) for case in cases])) if cases else math.nan
        share = stated(Share(counts["worse"], len(cases))) if cases else ["0", "-", "-"]
        judged = [str(counts[status]) for status in STATUSES]
        yield [_percent(math.log(handicap)), _percent(change), str(len(cases)), *judged, *share]


def _status(case: Compared) -> Status:
    return next(verdict.status for verdict in case.verdicts if verdict.metric == "step time")


def _changes(case: Compared) -> list[float]:
    return [math.log(pair.head_seconds / pair.base_seconds) for pair in case.pairs]


def _percent(change: float) -> str:
    return f"{100 * math.expm1(change):+.2f} %"
