"""Cases of the working tree beside a revision of it, in pairs of fresh processes."""

from collections.abc import Callable, Sequence

from mpcore.ab.code import check_code
from mpcore.ab.git import RevisionError
from mpcore.ab.large_files import check_large_files
from mpcore.ab.listings import matched
from mpcore.ab.processes import start
from mpcore.ab.revisions import Checkout, checkouts, repository
from mpcore.ab.scheduler import Scheduler, Start
from mpcore.ab.sequential_test import SequentialTest
from mpcore.ab.trees import in_each_tree
from mpcore.gate.limits import CONFIRMING_CONFIDENCE, CONFIRMING_PAIRS, LEAST_PAIRS
from mpcore.gate.margins import Margins
from mpcore.records import Case, Pair, Selection
from mpcore.runner import RunnerError, narrowed
from mpcore.selection import SelectionError

BesidePairs = dict[str, tuple[Pair, ...]]
"""By the id of a case."""


def measure_beside(
    revision: str,
    cases: Sequence[Case],
    selection: Selection,
    *,
    count: int = CONFIRMING_PAIRS,
    progress: Callable[[str], None] = lambda line: None,
    start: Start = start,
) -> BesidePairs | str:
    """So many pairs of each case, in which base is `revision` and head the working tree. Where there are none, as in a clone
    without that revision, the sentence that says why. The memory of the GPU should be free."""
    try:
        with checkouts(revision, None, None, None) as (base, head):
            check_large_files((base, head))
            placed = in_each_tree(narrowed(selection, cases), (), [head.tree, base.tree, repository()])
            return _measured(base, head, cases, placed, count, progress, start)
    except (RevisionError, RunnerError, SelectionError) as error:
        return str(error)


def _measured(
    base: Checkout,
    head: Checkout,
    cases: Sequence[Case],
    selection: Selection,
    count: int,
    progress: Callable[[str], None],
    start: Start,
) -> BesidePairs | str:
    with Scheduler(base, head, selection, seed=0, start=start) as scheduler:
        found = matched((base, head), scheduler.listings())
        check_code((base, head), scheduler.loaded)
        tests = [SequentialTest(case, Margins()) for case in cases if case in found.common]
        for number in range(count):
            if not (running := [test for test in tests if not test.out]):
                break
            progress(f"beside {base.name[:12]}: pair {number + 1} of {count}")
            result = scheduler.pair([test.case for test in running])
            for test in running:
                test.add(result, count)
    records = [test.paired_case(CONFIRMING_CONFIDENCE) for test in tests if not test.out and test.count > 1]
    whole = {record.case.id: record.pairs for record in records if len(record.pairs) >= LEAST_PAIRS}
    return whole or "; ".join(_reasons(tests, found.failures | found.skipped)) or "it has none of these cases"


def _reasons(tests: Sequence[SequentialTest], others: dict[str, str]) -> list[str]:
    return [*(why for test in tests if (why := test.failure or test.skipped)), *others.values()]
