"""Pairs of fresh processes until each case is decided, or the last look is taken.

Looking after every pair would turn one false alarm in a hundred into four, so the pairs are judged twice, and the looks share
the one in a hundred. A case that is decided drops out. One that is worse is measured in fresh pairs, which must say so again.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

from mpcore.ab.revisions import Checkout
from mpcore.ab.scheduler import Scheduler, Start, start
from mpcore.ab.sequential_test import SequentialTest
from mpcore.ab.verdicts import only_in_head
from mpcore.gate.limits import CONFIRMING_PAIRS, PAIR_ERROR_RATE, PAIR_LOOKS
from mpcore.gate.margins import Policy
from mpcore.records import Case, Comparison, Listing, PairedCase, Selection
from mpcore.selection import SelectionError

Progress = Callable[[str], None]


def compare(
    base: Checkout,
    head: Checkout,
    selection: Selection,
    policy: Policy,
    *,
    looks: Sequence[int] = PAIR_LOOKS,
    seed: int = 0,
    progress: Progress = lambda line: None,
    start: Start = start,
) -> Comparison:
    """Base against head on this machine's device. policy: what may get worse. looks: after how many pairs they are judged.

    Raises RunnerError where one of them lists no cases, SelectionError where neither has what is selected, and where one of two
    trees has no code of its own.
    """
    with Scheduler(base, head, selection, seed=seed, start=start) as scheduler:
        progress("base and head list their cases")
        listings = scheduler.listings()
        _check((base, head), listings)
        common, new, failures, skipped = _matched(*listings)
        tests = [SequentialTest(case, policy.margins(case.id)) for case in common]
        confidence = 1 - PAIR_ERROR_RATE / len(looks)
        _measure(scheduler, tests, looks, confidence, progress)
        worse = [test for test in tests if not test.out and test.status(confidence) == "worse"]
        if worse:
            _confirm(scheduler, worse, progress)
    return Comparison(
        base=base.revision(listings[0].machine),
        head=head.revision(listings[1].machine),
        selection=selection,
        seed=seed,
        datetime=datetime.now(UTC).isoformat(timespec="seconds"),
        cases=(
            *(test.paired_case(confidence) for test in tests if not test.out),
            *(PairedCase(case=case, pairs=(), regressions=(only_in_head(case),)) for case in new),
        ),
        failures=failures | {test.case.id: test.failure for test in tests if test.failure is not None},
        skipped=skipped | {test.case.id: test.skipped for test in tests if test.skipped is not None},
    )


def _measure(
    scheduler: Scheduler, tests: Sequence[SequentialTest], looks: Sequence[int], confidence: float, progress: Progress
) -> None:
    done = 0
    for look in looks:
        running = [test for test in tests if not test.out and test.status(confidence) == "undecided"]
        if not running:
            return
        for _ in _timed(range(done, look), progress):
            result = scheduler.pair([test.case for test in running])
            for test in running:
                test.add(result, looks[0])
            running = [test for test in running if not test.out]
            if not running:
                return
        done = look


def _confirm(scheduler: Scheduler, worse: Sequence[SequentialTest], progress: Progress) -> None:
    """With profiles, that say why."""
    progress(f"worse, and to be confirmed by {CONFIRMING_PAIRS} fresh pairs: {', '.join(test.case.id for test in worse)}")
    for _ in _timed(range(CONFIRMING_PAIRS), progress):
        result = scheduler.pair([test.case for test in worse], profile=True)
        for test in worse:
            test.confirm(result)


def _timed(numbers: range, progress: Progress) -> Iterator[int]:
    """Tells before each pair how long they will all take, once it is known of one."""
    left = ""
    for number in numbers:
        progress(f"pair {number + 1} of {numbers.stop}{left}")
        begin = time.monotonic()
        yield number
        seconds = round((time.monotonic() - begin) * (numbers.stop - number - 1))
        left = f", about {seconds // 60} min {seconds % 60:02d} s left"


def _check(checkouts: tuple[Checkout, Checkout], listings: tuple[Listing, Listing]) -> None:
    """What neither has is a mistake in the selection, and a tree that nothing is imported from is another's code."""
    base, head = (dict(listing.unknown) for listing in listings)
    mistakes = [sentence for name, sentence in head.items() if name in base]
    if mistakes:
        raise SelectionError("; ".join(mistakes))
    if not any(listing.cases for listing in listings):
        raise SelectionError("; ".join([*base.values(), *head.values()]) or "nothing is selected")
    if len({checkout.tree for checkout in checkouts}) > 1 and len({checkout.python for checkout in checkouts}) == 1:
        for checkout, listing in zip(checkouts, listings, strict=True):
            if not listing.own:
                raise SelectionError(
                    f"{checkout.name}: nothing is imported from {checkout.tree}, so that it would be measured with the code "
                    "that is installed: expected a tree with the package mpcore, or with a file of --mp-load"
                )


def _matched(base: Listing, head: Listing) -> tuple[list[Case], list[Case], dict[str, str], dict[str, str]]:
    """Cases that both can run; those that only head has; by case, why it fails; and why it cannot be run here."""
    before, after = dict(base.cases), dict(head.cases)
    common: list[Case] = []
    new: list[Case] = []
    failures = {case.id: "base has it and head does not" for case in before if case not in after}
    skipped: dict[str, str] = {}
    for case, reason in after.items():
        runs_in_base = case in before and before[case] is None
        if reason is None:
            (common if runs_in_base else new).append(case)
        elif runs_in_base:
            failures[case.id] = f"base runs it and head does not: {reason}"
        else:
            skipped[case.id] = reason
    return common, new, failures, skipped
