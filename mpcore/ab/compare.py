"""Base against head: which cases both have, which of them are timed in pairs, and all that is judged of these."""

import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from mpcore.ab.code import KIND, check_code, check_environments, differs_for_all, unchanged, unchanged_comparison
from mpcore.ab.figures import Measure, figures, measure
from mpcore.ab.listings import Matched, matched
from mpcore.ab.paired_tests import PairedTests, Progress
from mpcore.ab.processes import start
from mpcore.ab.resumption import check_resumed
from mpcore.ab.revisions import Checkout
from mpcore.ab.scheduler import Scheduler, Start
from mpcore.ab.sequential_test import SequentialTest
from mpcore.ab.settled import Count, MachineCheck, count_work, settled
from mpcore.ab.verdicts import only_in_head
from mpcore.gate.margins import Policy
from mpcore.records import ALL_CASES, AccuracyProof, Case, Comparison, Loaded, PairedCase, Regression, Revision, Selection
from mpcore.runner import RunnerError

Proofs = Callable[[str], Sequence[AccuracyProof]]
UNFINISHED = 3
"""The exit code of a comparison that is written before its end, for it may have no other."""


def compare(
    base: Checkout,
    head: Checkout,
    selection: Selection,
    policy: Policy,
    *,
    seed: int = 0,
    progress: Progress = lambda line: None,
    start: Start = start,
    earlier: Comparison | None = None,
    save: Callable[[Comparison], None] = lambda comparison: None,
    time_all: bool = True,
    count: Count = count_work,
    accuracy: bool = False,
    measure: Measure = measure,
    proofs: Proofs = lambda hardware: (),
) -> Comparison:
    """Base against head on this machine's device. policy: what may get worse. earlier: an interrupted
    comparison of the same two, that goes on. save: is called with what there is after each pair. time_all: times also what
    cannot differ, and judges nothing besides. accuracy: is judged, too. count: counts the work of cases on both sides. measure:
    measures all that is judged besides time. proofs: of the sensitivity of trainings, by the key of the hardware.

    Where it is interrupted, by Ctrl-C or SystemExit, what was measured until then comes back. Raises RunnerError where one of
    them lists no cases. Raises SelectionError where neither has what is selected, and where one of two trees has no code of its
    own or runs the other's, and where two environments of one tree are the same. It is raised, too, where `earlier` was
    measured with other code, software or hardware.
    """
    had = {case.case: case for case in earlier.cases} if earlier else {}
    with Scheduler(base, head, selection, seed=seed + sum(len(of.pairs) for of in had.values()), start=start) as scheduler:
        progress("base and head list their cases")
        listings = scheduler.listings()
        found, loaded = matched((base, head), listings), scheduler.loaded
        check_code((base, head), loaded)
        before, after = base.revision(listings[0].machine, loaded[0]), head.revision(listings[1].machine, loaded[1])
        if earlier is not None:
            check_resumed(earlier, (base, head), (before, after))
        if not time_all and unchanged(before, after):
            check_environments(base, head, after.loaded)
            return unchanged_comparison(before, after, selection, found.common)
        kept = {case: had[case] for case in found.common if case in had and not had[case].open}
        asked = [case for case in found.common if case not in kept]
        difference = "" if time_all else differs_for_all(before, after)
        if difference:
            progress(f"{difference}: all cases are timed")
        alike = not time_all and not difference
        needless = settled((base, head), listings, selection, asked, progress, scheduler.ready, count) if alike else []
        # a file that cannot be read is named before the hours of pairs
        proved = proofs(listings[1].machine.hardware.key) if accuracy else ()
        tests = [SequentialTest(case, policy.margins(case.id), had.get(case)) for case in asked if case not in needless]
        paired = PairedTests(scheduler, tests, MachineCheck.among(needless, policy, had), progress)
        so_far = _SoFar(before, after, selection, seed, found, kept, needless, paired)
        try:
            paired.measure(lambda: save(so_far.comparison(UNFINISHED)))
            if not time_all:
                scheduler.rest()
                so_far.judge((base, head), policy, accuracy=accuracy, measure=measure, proofs=proved)
        except KeyboardInterrupt as stopped:
            progress(str(stopped) or "interrupted")
            return so_far.comparison(128 + signal.SIGINT)
        except SystemExit as ended:
            return so_far.comparison(ended.code if isinstance(ended.code, int) else UNFINISHED)
        return so_far.comparison(None)


@dataclass
class _SoFar:
    """What there is of a comparison. kept: cases that were decided before it was interrupted. needless: cases that are not
    timed. others: by case, what is judged besides pairs. failed: what has failed there."""

    base: Revision
    head: Revision
    selection: Selection
    seed: int
    found: Matched
    kept: Mapping[Case, PairedCase]
    needless: Sequence[Case]
    paired: PairedTests
    others: dict[Case, list[Regression]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def judge(self, sides: tuple[Checkout, Checkout], policy: Policy, **asked: Any) -> None:
        """All but the time, of the cases that were timed, now or before an interruption. What was timed is kept in any case.
        asked: as of `figures`."""
        timed = [case for case, of in self.kept.items() if of.pairs and of.regressions[0].kind != KIND]
        timed += [test.case for test in self.paired.tests if not test.out]
        told = self.paired.progress
        try:
            self.others, self.failed = figures(sides, self.selection, timed, policy, told, **asked)
        except RunnerError as error:
            self.failed = {ALL_CASES: str(error)}

    def comparison(self, interrupted: int | None) -> Comparison:
        """interrupted: the exit code where it was ended before its end."""
        tests = self.paired.tests
        cases = dict(self.kept)
        cases |= {test.case: self.paired.record(test, interrupted) for test in tests if not test.out}
        cases |= {case: self.paired.check.record(case) for case in self.needless}
        failures = {test.case.id: why for test in tests if (why := test.failure or test.unreliable)}
        return Comparison(
            base=_measured(self.base, self.paired.scheduler.loaded[0]),
            head=_measured(self.head, self.paired.scheduler.loaded[1]),
            selection=self.selection,
            seed=self.seed,
            datetime=datetime.now(UTC).isoformat(timespec="seconds"),
            cases=(
                *(_with(cases[case], self.others.get(case, [])) for case in self.found.common if case in cases),
                *(PairedCase(case=case, pairs=(), regressions=(only_in_head(case),)) for case in self.found.new),
            ),
            failures=self.found.failures | self.failed | failures,
            skipped=self.found.skipped | {test.case.id: test.skipped for test in tests if test.skipped is not None},
            interrupted=interrupted,
        )


def _measured(revision: Revision, loaded: Loaded | None) -> Revision:
    """With the code that has measured it."""
    return revision.model_copy(update={"loaded": loaded})


def _with(case: PairedCase, others: Sequence[Regression]) -> PairedCase:
    return case.model_copy(update={"regressions": (*case.regressions, *others)})
