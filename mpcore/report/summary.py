"""What a session came to: what all that is said at its end draws from."""

from collections.abc import Sequence
from dataclasses import dataclass

from mpcore.records import ALL_CASES, AnyRecord, Check, FailedTest, Regression, RegressionStatus, Run, Selection
from mpcore.report.text import counted, named

GONE = "gone"
"""The test of what is gone, where that fails."""
COUNTED: tuple[RegressionStatus, ...] = ("same", "better", "worse", "changed", "undecided", "saturated")


@dataclass(frozen=True)
class SessionSummary:
    """run: as it is saved. ran: tests of cases that ran or failed before; missed: that were not reached. saved: files
    that hold the run, as a person would name them.

    accepted: the runs that it was compared with, oldest first, which are in `folder`. gone: what was accepted last and is
    not in this one, and why. strict: whether what is undecided, new or gone fails.
    """

    run: Run
    selection: Selection
    ran: int = 0
    missed: int = 0
    saved: Sequence[str] = ()
    accepted: Sequence[Run] = ()
    folder: str = ""
    gone: Sequence[tuple[AnyRecord, str]] = ()
    strict: bool = False

    @property
    def judgements(self) -> list[Check | Regression]:
        """Those of the cases, then the one of what they share."""
        return [*(j for result in self.run.results for j in result.judgements), *([self.run.common] if self.run.common else [])]

    @property
    def regressions(self) -> list[Regression]:
        """Those of the cases."""
        return [regression for result in self.run.results for regression in result.regressions]

    @property
    def counts(self) -> str:
        """How many figures are same, better and so on since the accepted runs; empty where all is new."""
        found = [regression.status for regression in self.regressions]
        return ", ".join(f"{found.count(status)} {status}" for status in COUNTED if status in found)

    @property
    def headline(self) -> str:
        """Whether it passed, in a few words. Of what failed, tests are counted, which have a node id."""
        cases, failed = counted(self.ran, "case"), sum("::" in test.test for test in self.run.failed)
        were = "was" if self.missed == 1 else "were"
        missed = f", {self.missed:,} more {were} not reached" if self.missed else ""
        if not self.ran:
            return f"no case was run{missed}"
        if failed:
            return f"{failed:,} of {cases} failed{missed}"
        if self.failures:
            return f"the session failed, though none of its {cases} did{missed}"
        if self.missed:
            return f"not finished: {cases} passed{missed}"
        return f"nothing got worse: {self.counts}" if self.counts else f"{cases} passed, compared with no accepted run"

    def fails(self, judgement: Check | Regression) -> bool:
        return not judgement.passed or (self.strict and isinstance(judgement, Regression) and judgement.open)

    @property
    def failures(self) -> list[str]:
        """A sentence each, with its cause: what was judged, the other tests that failed, and what is gone where that fails."""
        judged = [" ".join(why_failed(j).split()) for j in self.judgements if self.fails(j)]
        gone = [why_gone(record, why) for record, why in self.gone] if self.strict else []
        others = [test.sentence for test in self.run.failed if not self._told(test)]
        return [*judged, *others, *gone]

    def _told(self, test: FailedTest) -> bool:
        """Whether it failed for what is told of its own record: a test can fail for something else, too."""
        if test.test == GONE:
            return self.strict
        judged = [j for r in self.run.results if r.record.name == test.name for j in r.judgements]
        if test.test == ALL_CASES and self.run.common:
            judged = [self.run.common]
        said = " ".join(test.sentence.split())
        return any(" ".join(j.sentence.split()) in said for j in judged if self.fails(j))


def why_failed(judgement: Check | Regression) -> str:
    """What passes fails for --mp-strict alone, and says so."""
    if isinstance(judgement, Check) or not judgement.passed:
        return judgement.sentence
    return f"{judgement.sentence} ({judgement.status}, which fails with --mp-strict)"


def why_gone(record: AnyRecord, why: str) -> str:
    return f"gone, though an accepted run has it: {named(record)}: {why}"
