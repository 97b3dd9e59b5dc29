"""Pairs of fresh processes until each case is decided, or the last look is taken.

Looking after every pair would turn one false alarm in a hundred into four, so the pairs are judged twice, and the looks share
the one in a hundred. A case that is decided drops out. One that is worse is measured in fresh pairs, which must say so again.
"""

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

from mpcore.ab.code import KIND, check_code, other_wheels, unchanged, unchanged_comparison
from mpcore.ab.figures import Measure, figures, measure
from mpcore.ab.listings import matched
from mpcore.ab.revisions import Checkout
from mpcore.ab.scheduler import Scheduler, Start, start
from mpcore.ab.sequential_test import SequentialTest
from mpcore.ab.settled import Count, MachineCheck, count_work, settled
from mpcore.ab.verdicts import only_in_head
from mpcore.gate.limits import CONFIRMING_PAIRS, PAIR_ERROR_RATE, PAIR_LOOKS
from mpcore.gate.margins import Policy
from mpcore.records import ALL_CASES, Case, Comparison, PairedCase, Regression, Selection
from mpcore.runner import RunnerError

Progress = Callable[[str], None]
UNFINISHED = 3
"""The exit code of a comparison that is written before its end, for it may have no other."""


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
    earlier: Comparison | None = None,
    save: Callable[[Comparison], None] = lambda comparison: None,
    time_all: bool = True,
    count: Count = count_work,
    accuracy: bool = False,
    measure: Measure = measure,
) -> Comparison:
    """Base against head on this machine's device. policy: what may get worse. looks: after how many pairs they are judged.
    earlier: an interrupted comparison of the same two, that goes on. save: is called with what there is after each pair.
    time_all: also what cannot differ. count, measure: count the work of cases on both sides, and measure all
    that is judged besides time. accuracy: is judged, too.

    Where it is interrupted, by Ctrl-C or SystemExit, what was measured until then comes back. Raises RunnerError where one of
    them lists no cases, SelectionError where neither has what is selected, and where one of two trees has no code of its own,
    or runs the other's.
    """
    had = {case.case: case for case in earlier.cases} if earlier else {}
    with Scheduler(base, head, selection, seed=seed + sum(len(of.pairs) for of in had.values()), start=start) as scheduler:
        progress("base and head list their cases")
        listings, loaded = scheduler.listings()
        found = matched((base, head), listings)
        check_code((base, head), loaded)
        before, after = base.revision(listings[0].machine, loaded[0]), head.revision(listings[1].machine, loaded[1])
        if not time_all and unchanged(before, after):
            return unchanged_comparison(before, after, selection, found.common)
        kept = {case: had[case] for case in found.common if case in had and not had[case].open}
        asked = [case for case in found.common if case not in kept]
        alike = not time_all and not other_wheels(before, after)
        needless = settled((base, head), listings, selection, asked, progress, count) if alike else []
        check = MachineCheck.among(needless, policy)
        tests = [SequentialTest(case, policy.margins(case.id), had.get(case)) for case in asked if case not in needless]
        others: dict[Case, list[Regression]] = {}
        failed: dict[str, str] = {}  # by others than the pairs
        confidence = 1 - PAIR_ERROR_RATE / len(looks)

        def so_far(interrupted: int | None) -> Comparison:
            measured = {test.case: _record(test, confidence, looks, interrupted) for test in tests if not test.out}
            measured |= {case: check.record(case) for case in needless}
            measured = {case: _with(of, others.get(case, [])) for case, of in (kept | measured).items()}
            return Comparison(
                base=before,
                head=after,
                selection=selection,
                seed=seed,
                datetime=datetime.now(UTC).isoformat(timespec="seconds"),
                cases=(
                    *(measured[case] for case in found.common if case in measured),
                    *(PairedCase(case=case, pairs=(), regressions=(only_in_head(case),)) for case in found.new),
                ),
                failures=found.failures
                | failed
                | {test.case.id: why for test in tests if (why := test.failure or test.unreliable)},
                skipped=found.skipped | {test.case.id: test.skipped for test in tests if test.skipped is not None},
                interrupted=interrupted,
            )

        def keep() -> None:
            save(so_far(UNFINISHED))

        try:
            _measure(scheduler, tests, looks, confidence, progress, keep, check)
            _confirm(scheduler, tests, confidence, progress, keep)
            blind = [test for test in tests if test.blind(confidence)]
            if blind:
                progress(f"too much cannot be excluded, and fresh pairs are measured: {', '.join(t.case.id for t in blind)}")
                for test in blind:
                    test.again()
                _measure(scheduler, blind, looks, confidence, progress, keep)
                _confirm(scheduler, blind, confidence, progress, keep)
            if not time_all:
                timed = [case for case, of in kept.items() if of.pairs and of.regressions[0].kind != KIND]
                timed += [test.case for test in tests if not test.out]
                scheduler.rest()
                try:
                    others, failed = figures(
                        (base, head), selection, timed, policy, progress, accuracy=accuracy, measure=measure
                    )
                except RunnerError as error:  # what was timed is kept
                    failed = {ALL_CASES: str(error)}
        except KeyboardInterrupt:
            return so_far(128 + signal.SIGINT)
        except SystemExit as ended:
            return so_far(ended.code if isinstance(ended.code, int) else UNFINISHED)
        return so_far(None)


def _with(case: PairedCase, others: Sequence[Regression]) -> PairedCase:
    return case.model_copy(update={"regressions": (*case.regressions, *others)})


def _record(test: SequentialTest, confidence: float, looks: Sequence[int], interrupted: int | None) -> PairedCase:
    return test.paired_case(confidence) if interrupted is None else test.interrupted_case(confidence, looks)


def _measure(
    scheduler: Scheduler,
    tests: Sequence[SequentialTest],
    looks: Sequence[int],
    confidence: float,
    progress: Progress,
    keep: Callable[[], None],
    check: MachineCheck | None = None,
) -> None:
    """check: is measured beside them in the first pairs."""
    check = check or MachineCheck((), Policy())
    done = min((test.count for test in tests), default=0)
    for look in looks:
        running = [test for test in tests if not test.decided(confidence, looks)]
        if not running:
            break
        for _ in _timed(range(done, look), progress):
            result = scheduler.pair([*(test.case for test in running), *check.asked])
            for test in running:
                test.add(result, looks[0])
            check.add(result)
            keep()
            running = [test for test in running if not test.out]
            if not running:
                break
        done = max(done, look)
    for _ in _timed(range(check.left), progress):
        check.add(scheduler.pair(check.cases))
        keep()


def _confirm(
    scheduler: Scheduler,
    tests: Sequence[SequentialTest],
    confidence: float,
    progress: Progress,
    keep: Callable[[], None],
) -> None:
    """Those that are worse, with profiles, that say why."""
    worse = [test for test in tests if not test.out and test.status(confidence) == "worse"]
    if not worse:
        return
    progress(f"worse, and to be confirmed by {CONFIRMING_PAIRS} fresh pairs: {', '.join(test.case.id for test in worse)}")
    for _ in _timed(range(CONFIRMING_PAIRS), progress):
        result = scheduler.pair([test.case for test in worse], profile=True)
        for test in worse:
            test.confirm(result)
        keep()


def _timed(numbers: range, progress: Progress) -> Iterator[int]:
    """Tells before each pair how long they will all take, once it is known of one."""
    left = ""
    for number in numbers:
        progress(f"pair {number + 1} of {numbers.stop}{left}")
        begin = time.monotonic()
        yield number
        seconds = round((time.monotonic() - begin) * (numbers.stop - number - 1))
        left = f", about {seconds // 60} min {seconds % 60:02d} s left"
