"""Pairs of fresh processes until each case is decided, or the last look is taken.

Looking after every pair would turn one false alarm in a hundred into four, so the verdicts are looked at twice, and the looks
share the one in a hundred. A case that is decided drops out. One that is worse is measured in fresh pairs, which must say so
again.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

from mpcore.ab.course import Course
from mpcore.ab.judge import new_verdict
from mpcore.ab.relay import Relay, Start, start
from mpcore.ab.sides import Side
from mpcore.records import Case, Compared, Comparison, Contender, Listing, Selection
from mpcore.selection import SelectionError

PAIRS = (6, 12)
"""After which the verdicts are looked at."""
CONFIRMING = 6
ERROR = 0.01
"""Of a case, over all looks."""

Progress = Callable[[str], None]


def compare(
    base: Side,
    head: Side,
    selection: Selection,
    *,
    pairs: Sequence[int] = PAIRS,
    seed: int = 0,
    progress: Progress = lambda line: None,
    start: Start = start,
) -> Comparison:
    """Base against head on this machine's device. pairs: after how many the verdicts are looked at.

    Raises RunnerError where one of them lists no cases, SelectionError where neither has what is selected, and where one of two
    trees has no code of its own.
    """
    with Relay(base, head, selection, seed=seed, start=start) as relay:
        progress("base and head list their cases")
        listings = relay.listings()
        _check((base, head), listings)
        courses, new, failures, skipped = _matched(*listings)
        confidence = 1 - ERROR / len(pairs)
        _measure(relay, courses, pairs, confidence, progress)
        worse = [c for c in courses if not c.out and c.status(confidence) == "worse"]
        if worse:
            _confirm(relay, worse, progress)
    return Comparison(
        base=_contender(base, listings[0]),
        head=_contender(head, listings[1]),
        selection=selection,
        seed=seed,
        datetime=datetime.now(UTC).isoformat(timespec="seconds"),
        cases=(*(c.compared(confidence) for c in courses if not c.out), *map(_only_in_head, new)),
        failures=failures | {c.case.id: c.failure for c in courses if c.failure is not None},
        skipped=skipped | {c.case.id: c.skipped for c in courses if c.skipped is not None},
    )


def _measure(relay: Relay, courses: Sequence[Course], looks: Sequence[int], confidence: float, progress: Progress) -> None:
    done = 0
    for look in looks:
        running = [c for c in courses if not c.out and c.status(confidence) == "undecided"]
        if not running:
            return
        for _ in _timed(range(done, look), progress):
            turn = relay.pair([c.case for c in running])
            for course in running:
                course.add(turn, looks[0])
            running = [c for c in running if not c.out]
            if not running:
                return
        done = look


def _confirm(relay: Relay, worse: Sequence[Course], progress: Progress) -> None:
    """With profiles, that say why."""
    progress(f"worse, and to be confirmed by {CONFIRMING} fresh pairs: {', '.join(c.case.id for c in worse)}")
    for _ in _timed(range(CONFIRMING), progress):
        turn = relay.pair([c.case for c in worse], profile=True)
        for course in worse:
            course.confirm(turn)


def _timed(numbers: range, progress: Progress) -> Iterator[int]:
    """Tells before each pair how long they will all take, once it is known of one."""
    left = ""
    for number in numbers:
        progress(f"pair {number + 1} of {numbers.stop}{left}")
        begin = time.monotonic()
        yield number
        seconds = round((time.monotonic() - begin) * (numbers.stop - number - 1))
        left = f", about {seconds // 60} min {seconds % 60:02d} s left"


def _check(sides: tuple[Side, Side], listings: tuple[Listing, Listing]) -> None:
    """What neither has is a mistake in the selection, and a tree that nothing is imported from is another's code."""
    base, head = (dict(listing.unknown) for listing in listings)
    mistakes = [sentence for name, sentence in head.items() if name in base]
    if mistakes:
        raise SelectionError("; ".join(mistakes))
    if not any(listing.cases for listing in listings):
        raise SelectionError("; ".join([*base.values(), *head.values()]) or "nothing is selected")
    if len({side.tree for side in sides}) > 1 and len({side.python for side in sides}) == 1:
        for side, listing in zip(sides, listings, strict=True):
            if not listing.own:
                raise SelectionError(
                    f"{side.name}: nothing is imported from {side.tree}, so that it would be measured with the code that is "
                    "installed: expected a tree with the package mpcore, or with a file of --mp-load"
                )


def _matched(base: Listing, head: Listing) -> tuple[list[Course], list[Case], dict[str, str], dict[str, str]]:
    """Cases that both can run; those that only head has; by case, why it fails; and why it cannot be run here."""
    before, after = dict(base.cases), dict(head.cases)
    courses: list[Course] = []
    new: list[Case] = []
    failures = {case.id: "base has it and head does not" for case in before if case not in after}
    skipped: dict[str, str] = {}
    for case, reason in after.items():
        runs_in_base = case in before and before[case] is None
        if reason is None:
            courses.append(Course(case)) if runs_in_base else new.append(case)
        elif runs_in_base:
            failures[case.id] = f"base runs it and head does not: {reason}"
        else:
            skipped[case.id] = reason
    return courses, new, failures, skipped


def _only_in_head(case: Case) -> Compared:
    return Compared(case=case, pairs=(), verdicts=(new_verdict(case),))


def _contender(side: Side, listing: Listing) -> Contender:
    return Contender(name=side.name, commit=side.commit, python=side.python, handicap=side.handicap, machine=listing.machine)
