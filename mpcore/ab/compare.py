"""Pairs of fresh processes until each case is decided, or the last look is taken.

Looking after every pair would turn one false alarm in a hundred into four, so the pairs are judged twice, and the looks share
the one in a hundred. A case that is decided drops out. One that is worse is measured in fresh pairs, which must say so again.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

from mpcore.ab.listings import matched
from mpcore.ab.revisions import Checkout
from mpcore.ab.scheduler import Scheduler, Start, start
from mpcore.ab.sequential_test import SequentialTest
from mpcore.ab.verdicts import only_in_head
from mpcore.gate.limits import CONFIRMING_PAIRS, PAIR_ERROR_RATE, PAIR_LOOKS
from mpcore.gate.margins import Policy
from mpcore.records import Comparison, PairedCase, Selection

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
        found = matched((base, head), listings)
        tests = [SequentialTest(case, policy.margins(case.id)) for case in found.common]
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
            *(PairedCase(case=case, pairs=(), regressions=(only_in_head(case),)) for case in found.new),
        ),
        failures=found.failures | {test.case.id: why for test in tests if (why := test.failure or test.unreliable)},
        skipped=found.skipped | {test.case.id: test.skipped for test in tests if test.skipped is not None},
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
