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
from mpcore.calibrate.simulate import LOOK, POWER, Share
from mpcore.calibrate.tables import stated, table
from mpcore.records import Compared, Comparison, Selection, Status, Verdict
from mpcore.stats import pooled_deviation

Progress = Callable[[str], None]


def measured(
    tree: Path, selection: Selection, handicaps: Sequence[float], repeat: int, progress: Progress = lambda line: None
) -> Iterator[str]:
    """Markdown, a paragraph at a time. `handicaps`: how many times longer a step of the head is made to take, beside 1. Raises
    RunnerError where `tree` lists no cases."""
    planted = list(dict.fromkeys([1.0, *handicaps]))
    rounds = {handicap: [_compared(tree, selection, handicap, i, progress) for i in range(repeat)] for handicap in planted}
    found = {
        handicap: [case for comparison in of for case in comparison.cases if case.pairs] for handicap, of in rounds.items()
    }
    yield "This code against itself, with a slowdown planted in the head:"
    yield table(["planted", "measured", "cases", *STATUSES, "worse, share", "95 % interval"], _rows(found))
    lost = [f"- {case}: {why}" for of in rounds.values() for c in of for case, why in (c.failures | c.skipped).items()]
    if lost:
        yield "Not measured:\n" + "\n".join(dict.fromkeys(lost))
    cases = [case for of in found.values() for case in of]
    if cases:
        deviation = pooled_deviation([_changes(case) for case in cases]).value
        margin = math.log1p(max(_time(case).limit or 0.0 for case in cases) / 100)
        size = 100 * math.expm1(smallest_of(deviation, margin))
        yield (
            f"Pairs of one case spread by {100 * deviation:.3g} % (standard deviation, pooled). With that, {PAIRS[0]} pairs, "
            f"and {CONFIRMING} to confirm, find a slowdown of {size:.2f} % 95 times in 100 (noncentral t)."
        )


STATUSES: Sequence[Status] = ("worse", "undecided", "same", "better")


def smallest_of(deviation: float, margin: float) -> float:
    """The change that is found 95 times in 100 at the first look and confirmed, where pairs spread by `deviation`, all in
    logarithms: how often each finds what lies so far beyond the margin is a noncentral t-distribution."""

    def power(beyond: float) -> float:
        found = 1.0
        for pairs, confidence in ((PAIRS[0], LOOK), (CONFIRMING, CONFIRMED)):
            limit = stats.t.ppf(confidence, pairs - 1)
            found *= float(stats.nct.sf(limit, pairs - 1, beyond * math.sqrt(pairs)))
        return found

    return margin + deviation * float(brentq(lambda beyond: power(beyond) - POWER, 0.0, 100.0))


def _compared(tree: Path, selection: Selection, handicap: float, seed: int, progress: Progress) -> Comparison:
    what = f"{_percent(math.log(handicap))} planted, comparison {seed + 1}"
    progress(what)
    sides = Side(name="base", tree=tree), Side(name="head", tree=tree, handicap=handicap)
    comparison = compare(*sides, selection, seed=seed, progress=progress)
    progress(f"{what}: {', '.join(f'{n} {status}' for status, n in _counts(comparison.cases).items())}")
    return comparison


def _rows(found: Mapping[float, Sequence[Compared]]) -> Iterator[list[str]]:
    for handicap, cases in found.items():
        counts = _counts(cases)
        change = float(np.mean([np.mean(_changes(case)) for case in cases])) if cases else math.nan
        share = stated(Share(counts["worse"], len(cases))) if cases else ["0", "-", "-"]
        judged = [str(counts[status]) for status in STATUSES]
        yield [_percent(math.log(handicap)), _percent(change), str(len(cases)), *judged, *share[1:]]


def _counts(cases: Sequence[Compared]) -> Counter[Status]:
    return Counter(_time(case).status for case in cases)


def _time(case: Compared) -> Verdict:
    return next(verdict for verdict in case.verdicts if verdict.metric == "step time")


def _changes(case: Compared) -> list[float]:
    return [math.log(pair.head_seconds / pair.base_seconds) for pair in case.pairs]


def _percent(change: float) -> str:
    return f"{100 * math.expm1(change):+.2f} %"
