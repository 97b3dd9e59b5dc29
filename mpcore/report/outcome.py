"""What a session came to: what all that is said at its end draws from."""

from collections.abc import Sequence
from dataclasses import dataclass

from mpcore.records import Run, Selection, Verdict


@dataclass(frozen=True)
class Outcome:
    """run: as it would be saved. ran: tests of cases that ran or failed before; missed: that were not reached. skipped: the
    reason of each case that was not run. saved: files that hold the run, as a person would name them.

    accepted: the runs that it was compared with, oldest first, which are in `folder`. common: what all cases share. gone: what
    the last accepted run has and this one has not. strict: whether what is undecided, new or gone fails."""

    run: Run
    selection: Selection
    ran: int = 0
    missed: int = 0
    skipped: Sequence[str] = ()
    saved: Sequence[str] = ()
    accepted: Sequence[Run] = ()
    folder: str = ""
    common: Verdict | None = None
    gone: Sequence[str] = ()
    strict: bool = False

    @property
    def verdicts(self) -> list[Verdict]:
        """Those of the cases, then that of what they share."""
        return [*(v for result in self.run.results for v in result.verdicts), *([self.common] if self.common else [])]

    def fails(self, verdict: Verdict) -> bool:
        return not verdict.passed or (self.strict and verdict.open)

    @property
    def failures(self) -> list[str]:
        """A sentence each, with its cause: what was judged, tests that failed before they came to a verdict, and what is gone
        where that fails."""
        judged = [v.sentence for v in self.verdicts if self.fails(v)]
        others = [test.sentence for test in self.run.failed if not any(" ".join(s.split()) in test.sentence for s in judged)]
        gone = [f"gone, though the last accepted run has it: {name}" for name in self.gone] if self.strict else []
        return [*judged, *others, *gone]
