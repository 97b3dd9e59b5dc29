"""What came of a session: its run, which is built once, and what is told of it."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

import pytest

from mpcore.plugin import pytest_benchmark
from mpcore.plugin.gone import command_of, gone
from mpcore.plugin.session import Session, session_of

if TYPE_CHECKING:
    from mpcore.records import FailedTest, PairedConfirmation, Regression, Result, Run, SkippedTest
    from mpcore.report.summary import SessionSummary


class Outcome:
    """Of a session. To be asked for after its last test."""

    def __init__(self, session: Session) -> None:
        self._session = session

    @cached_property
    def run(self) -> "Run":
        """All that was measured and judged."""
        from mpcore.records import Run

        session, (common, pairs) = self._session, self._common()
        return Run(
            command=command_of(session.config),
            datetime=datetime.now(UTC).isoformat(),
            commit=pytest_benchmark.commit_of(session.config),
            machine=session.machine,
            results=tuple(session.results.values()),
            failed=tuple(self._failed_tests(common)),
            skipped=tuple(self._skipped_tests()),
            missed=len(session.missed),
            common=common,
            common_pairs=pairs,
        )

    @cached_property
    def summary(self) -> "SessionSummary":
        """To be asked for once the run is saved."""
        from mpcore.report.summary import SessionSummary

        session = self._session
        return SessionSummary(
            run=self.run,
            selection=session.options.selection,
            ran=len(session.ran | (session.failures.keys() & session.tests.keys())),
            missed=len(session.missed),
            saved=tuple(pytest_benchmark.saved_files(session.config)),
            accepted=session.judge.baselines,
            folder=session.folder,
            gone=tuple(gone(session)),
            strict=session.options.strict,
        )

    def _common(self) -> "tuple[Regression | None, PairedConfirmation | str | None]":
        """What all cases share; where it is worse, the quickest of them are measured beside the accepted commit."""
        results, judge = list(self._session.results.values()), self._session.judge
        common = judge.common(results)
        if common is None or common.status != "worse":
            return common, None
        try:
            pairs = self._common_pairs(results)
        except KeyboardInterrupt:  # what was measured is not saved yet
            pairs = "that was interrupted"
        return judge.common(results, pairs), pairs

    def _common_pairs(self, results: "Sequence[Result]") -> "PairedConfirmation | str":
        from mpcore.records import ALL_CASES

        session = self._session
        if session.lost or session.missed:
            return "the session ended before its last test"
        session.bench.release()
        quickest = session.judge.quickest(results)
        return session.beside(quickest, ALL_CASES) if quickest else "no accepted run has one of these graphs"

    def _failed_tests(self, common: "Regression | None") -> "list[FailedTest]":
        """All that fails the session: tests, all cases together, and, strictly, what is gone."""
        from mpcore.records import FailedTest
        from mpcore.report.summary import GONE, why_gone

        failed, strict = [*self._session.failures.values()], self._session.options.strict
        if common and (not common.passed or (strict and common.open)):
            failed.append(self._failed_together(common))
        if strict:
            failed += [FailedTest(test=GONE, sentence=why_gone(*each), strict=True) for each in gone(self._session)]
        return failed

    def _failed_together(self, common: "Regression") -> "FailedTest":
        from mpcore.records import ALL_CASES, FailedTest
        from mpcore.report.sections.next_steps import ab_commands
        from mpcore.report.summary import why_failed

        session = self._session
        graphs = [r.record.case for r in session.results.values() if r.record.kind == "speed" and r.record.case.captured]
        commands = ab_commands(graphs, session.judge.baselines, session.options.selection)
        return FailedTest(test=ALL_CASES, sentence=why_failed(common), strict=common.passed, command="; ".join(commands))

    def _skipped_tests(self) -> "Iterator[SkippedTest]":
        from mpcore.records import SkippedTest

        tests = self._session.tests
        for test, reason in self._session.skipped.items():
            yield SkippedTest(test=test, name=tests[test].name if test in tests else "", reason=reason)


OUTCOME = pytest.StashKey[Outcome]()


def outcome_of(config: pytest.Config) -> Outcome:
    """The session's, made at the first call."""
    if OUTCOME not in config.stash:
        config.stash[OUTCOME] = Outcome(session_of(config))
    return config.stash[OUTCOME]
