"""What failed or came to nothing in runs: their figures are shown all the same."""

from collections.abc import Sequence

from mpcore.records import Quality, Run
from mpcore.report.document import Section
from mpcore.report.text import short_test


def failures(runs: Sequence[Run]) -> list[Section]:
    """None where there are none."""
    said = []
    for run in runs:
        failed = [short_test(failure) for failure in run.failed]
        diverged = [r.record.case.id for r in run.results if isinstance(r.record, Quality) and r.record.diverged]
        said += [f"{run.path}: {', '.join(failed)} failed"] if failed else []
        said += [f"{run.path}: trainings of {', '.join(diverged)} diverged"] if diverged else []
    return [Section("What failed or diverged", sentences=said)] if said else []
