"""Each figure of each case from run to run, and where it changed."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from mpcore.gate.change_points import ChangePoint, change_points
from mpcore.records import RunFigures
from mpcore.report.text import software_changes


@dataclass(frozen=True)
class Series:
    """One figure of one case on one kind of machine, oldest run first. terms: the workload's version, and the batch."""

    hardware: str
    case: str
    terms: tuple[int, int]
    figure: str
    runs: tuple[RunFigures, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class Change:
    """Between the run before it and the first after it."""

    series: Series
    point: ChangePoint

    @property
    def last_before(self) -> RunFigures:
        return self.series.runs[self.point.index - 1]

    @property
    def first_after(self) -> RunFigures:
        return self.series.runs[self.point.index]

    @property
    def where(self) -> str:
        """The commits between which it lies, and software that is another one."""
        before, after = self.last_before, self.first_after
        software = software_changes(before.software, after.software)
        commits = f"{_named(before)} and {_named(after)}"
        same = "the same commit, " if before.commit and before.commit == after.commit else ""
        return f"{same}{commits}" + (f"; {software}" if software else "")


def series_of(runs: Sequence[RunFigures], figures: Sequence[str]) -> list[Series]:
    """Of each machine and case, those of the figures that it has."""
    found: dict[tuple[str, str, tuple[int, int], str], list[tuple[RunFigures, float]]] = defaultdict(list)
    for run in sorted({(run.hardware, run.datetime, run.commit): run for run in runs}.values(), key=lambda run: run.datetime):
        for case in run.cases:
            for figure in figures:
                value = case.figures.get(figure)
                if value is not None:
                    terms = case.workload_version, case.batch_size
                    found[run.hardware, case.case, terms, figure].append((run, value))
    return [Series(*key, runs=tuple(run for run, _ in of), values=tuple(value for _, value in of)) for key, of in found.items()]


def changes(found: Sequence[Series]) -> list[Change]:
    """All of them, the newest first."""
    all_of_them = [Change(series, point) for series in found for point in change_points(series.values)]
    return sorted(all_of_them, key=lambda change: change.first_after.datetime, reverse=True)


def _named(run: RunFigures) -> str:
    return f"{(run.commit or 'unversioned')[:8]} ({run.datetime[:16].replace('T', ' ')})"
