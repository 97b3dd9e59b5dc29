"""What `ab` says of a tree against itself, and against itself with a slowdown planted: measured."""

import math
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path

import numpy as np
from scipy import stats
from scipy.optimize import brentq

from mpcore.ab import Checkout, compare
from mpcore.calibrate.simulate import POWER, Share
from mpcore.calibrate.tables import stated
from mpcore.gate.intervals import pooled_deviation
from mpcore.gate.limits import CONFIRMING_CONFIDENCE, CONFIRMING_PAIRS, LOOK_CONFIDENCE, PAIR_LOOKS
from mpcore.gate.margins import Policy
from mpcore.records import Comparison, PairedCase, Regression, RegressionStatus, Selection
from mpcore.report.document import Section, Table
from mpcore.runner import RunnerError

STATUSES: Sequence[RegressionStatus] = ("worse", "blind", "undecided", "same", "better")

Progress = Callable[[str], None]


def measured(
    tree: Path,
    selection: Selection,
    policy: Policy,
    slowdowns: Sequence[float],
    repeat: int,
    progress: Progress = lambda line: None,
) -> Iterator[Section]:
    """A part at a time. slowdowns: how many times longer a step of the head is made to take, beside 1. Where it is interrupted,
    what was decided until then comes, and SystemExit after it. Raises RunnerError where `tree` lists no cases, and at the end
    where none was measured."""
    planted = list(dict.fromkeys([1.0, *slowdowns]))
    rounds: dict[float, list[Comparison]] = {slowdown: [] for slowdown in planted}
    interrupted = None
    for seed, slowdown in product(range(repeat), planted):  # one comparison of each, then a second one of each
        try:
            comparison = _compared(tree, selection, policy, slowdown, seed, progress)
        except KeyboardInterrupt:  # before it had anything
            interrupted = 128 + signal.SIGINT
            break
        rounds[slowdown].append(comparison)
        interrupted = comparison.interrupted
        if interrupted is not None:
            break
    found = {
        slowdown: [case for comparison in of for case in comparison.cases if case.pairs and not case.open]
        for slowdown, of in rounds.items()
    }
    table = Table(["planted", "measured", "cases", *STATUSES, "worse, share", "95 % interval"], list(_rows(found)), "r" * 10)
    yield Section(lead="This code against itself, with a slowdown planted in the head:", tables=[table])
    lost = [f"{case}: {why}" for of in rounds.values() for c in of for case, why in (c.failures | c.skipped).items()]
    if lost:
        yield Section(lead="Not measured:", sentences=list(dict.fromkeys(lost)))
    cases = [case for of in found.values() for case in of]
    if not cases and interrupted is None:
        raise RunnerError("no case was measured")
    if cases:
        yield _smallest(cases)
    if interrupted is not None:
        raise SystemExit(interrupted)


def _smallest(cases: Sequence[PairedCase]) -> Section:
    """The slowdown that pairs which spread as these do find."""
    deviation = pooled_deviation([_changes(case) for case in cases]).value
    margin = math.log1p(max(_time(case).limit or 0.0 for case in cases) / 100)
    size = 100 * math.expm1(smallest_of(deviation, margin))
    return Section(
        lead=f"Pairs of one case spread by {100 * deviation:.3g} % (standard deviation, pooled). With that, "
        f"{PAIR_LOOKS[0]} pairs, and {CONFIRMING_PAIRS} to confirm, find a slowdown of {size:.2f} % 95 times in 100 "
        "(noncentral t)."
    )


def smallest_of(deviation: float, margin: float) -> float:
    """The change that is found 95 times in 100 at the first look and confirmed, in logarithms. Pairs spread by `deviation`. How
    often a look finds what lies so far beyond the margin is a noncentral t-distribution."""

    def power(beyond: float) -> float:
        found = 1.0
        for pairs, confidence in ((PAIR_LOOKS[0], LOOK_CONFIDENCE), (CONFIRMING_PAIRS, CONFIRMING_CONFIDENCE)):
            limit = stats.t.ppf(confidence, pairs - 1)
            found *= float(stats.nct.sf(limit, pairs - 1, beyond * math.sqrt(pairs)))
        return found

    return margin + deviation * float(brentq(lambda beyond: power(beyond) - POWER, 0.0, 100.0))


def _compared(tree: Path, selection: Selection, policy: Policy, slowdown: float, seed: int, progress: Progress) -> Comparison:
    what = f"{_percent(math.log(slowdown))} planted, comparison {seed + 1}"
    progress(what)
    base, head = Checkout(name="base", tree=tree), Checkout(name="head", tree=tree, slowdown=slowdown)
    comparison = compare(base, head, selection, policy, seed=seed, progress=progress)
    progress(f"{what}: {', '.join(f'{n} {status}' for status, n in _counts(comparison.cases).items())}")
    return comparison


def _rows(found: Mapping[float, Sequence[PairedCase]]) -> Iterator[list[str]]:
    for slowdown, cases in found.items():
        counts = _counts(cases)
        change = _percent(float(np.mean([np.mean(_changes(case)) for case in cases]))) if cases else "-"
        share = stated(Share(counts["worse"], len(cases))) if cases else ["0", "-", "-"]
        judged = [str(counts[status]) for status in STATUSES]
        yield [_percent(math.log(slowdown)), change, str(len(cases)), *judged, *share[1:]]


def _counts(cases: Sequence[PairedCase]) -> Counter[RegressionStatus]:
    return Counter(_time(case).status for case in cases)


def _time(case: PairedCase) -> Regression:
    return next(regression for regression in case.regressions if regression.metric == "step time")


def _changes(case: PairedCase) -> list[float]:
    return [math.log(pair.head_seconds / pair.base_seconds) for pair in case.pairs]


def _percent(change: float) -> str:
    return f"{100 * math.expm1(change):+.2f} %"
