"""What is accepted, and what a new run would change in it."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence

from mpcore.gate import BaselineMatch
from mpcore.records import AnyRecord, Result, Run
from mpcore.report.alike import cases_of, named_once
from mpcore.report.columns import WORK, Column, columns, table
from mpcore.report.document import Section, Table
from mpcore.report.rows import Row, grouped, how, rows
from mpcore.report.text import counted, file_name, measured_at, short_commit, software_changes
from mpcore.store import accepted_last

TABLES = (("step_ms", "peak_gib", "score"), WORK, ("gradient_error", "update_error"))
"""The figures of a workload's tables."""
FIGURES = tuple(figure for figures in TABLES for figure in figures)
LISTED = ("file", "measured", "commit", "torch", "GPU", "cases", "reason")
SHOWN = 4
"""Names in a line, of what may be all cases."""


def changed_figures(run: Run, matches: Sequence[BaselineMatch]) -> list[Section]:
    """A section for each workload: of each case what was accepted (the median, where there are several), what it is in `run`,
    and the change."""
    medians = _medians(record for match in matches for record in match.accepted.values())
    found = [_beside(row, medians) for row in rows(run.results)]
    return [
        Section(_title(group[0]), tables=[t for figures in TABLES if (t := _table(group, figures))]) for group in grouped(found)
    ]


def not_compared(run: Run, accepted: Sequence[Run], matches: Sequence[BaselineMatch]) -> list[Section]:
    """What cannot be compared, and which software differs since the last accepted run. And what was accepted last and is not in
    `run`: it goes on to count, or was let go."""
    other = named_once(((match.record, match.other) for match in matches if match.other), cases_of(run))
    said = [f"cannot be compared: {each}" for each in other]
    if accepted:
        last, reset = accepted_last(accepted), run.accepted.reset if run.accepted else ()
        here = {result.record.identity for result in run.results}
        missing = [(r.record, "") for before in last for r in before.results if r.record.identity not in here]
        for title, let_go in (("let go", True), ("not in this run, so that older ones hold", False)):
            found = [each for each in missing if (each[0].name in reset) is let_go]
            said += [f"{title}: {each}" for each in named_once(found, cases_of(*last))]
        software = software_changes(accepted[-1].machine.software, run.machine.software)
        said += [f"software: {software}"] if software else []
    return [Section(sentences=said)] if said else []


def accepted_runs(key: str, runs: Sequence[Run]) -> Section:
    """All of one hardware."""
    starts = counted(len({run.machine_start for run in runs}), "machine start")
    said = [f"{run.path} was accepted though these failed: {', '.join(failed)}" for run in runs if (failed := _allowed(run))]
    said += [
        f"{run.path} is all that counts of {_some(run.accepted.reset)}" for run in runs if run.accepted and run.accepted.reset
    ]
    listed = Table(LISTED, [_listed(run) for run in runs], "lllllrl")
    return Section(f"{key}: {counted(len(runs), 'run')} from {starts}", tables=[listed], sentences=said)


def _title(row: Row) -> str:
    batch = f", batch of {row['batch']}" if row["batch"] else ""
    return f"{row['workload']} ({row['size']}, {how(row)}{batch})"


def _medians(accepted: Iterable[AnyRecord]) -> dict[tuple[str, str], float]:
    """By case and figure."""
    found: dict[tuple[str, str], list[float]] = {}
    for row in (row for record in accepted for row in rows([Result(record=record)])):
        for figure in FIGURES:
            if row[figure] is not None:
                found.setdefault((row["case"], figure), []).append(row[figure])
    return {place: statistics.median(values) for place, values in found.items()}


def _beside(row: Row, medians: Mapping[tuple[str, str], float]) -> Row:
    for figure in FIGURES:
        before = medians.get((row["case"], figure))
        row |= {f"{figure} before": before, f"{figure} change": _change(row[figure], before)}
    return row


def _table(group: Sequence[Row], figures: Sequence[str]) -> Table | None:
    """None where none of the figures was measured."""
    shown = columns(["precision"])
    for figure, column in columns(figures).items():
        if any(row[f"{figure} before"] is not None for row in group):
            shown |= {f"{figure} before": column, figure: Column("now", column.form), f"{figure} change": Column("", "{:>}")}
        else:
            shown[figure] = column
    found = table(group, shown)
    return found if len(found.headings) > 1 else None


def _change(now: float | None, before: float | None) -> str | None:
    if now is None:
        return None
    if before is None:
        return "new"
    return f"{100 * (now / before - 1):+.1f} %" if before and math.isfinite(now) and math.isfinite(before) else None


def _listed(run: Run) -> list[str]:
    return [
        file_name(run),
        measured_at(run),
        short_commit(run),
        run.machine.software.get("torch", "-"),
        (run.machine.hardware.uuid or "-")[:8],
        str(len({result.record.case.id for result in run.results})),
        run.accepted.reason if run.accepted else "-",
    ]


def _allowed(run: Run) -> list[str]:
    return [test.split("::")[-1] for test in run.accepted.allowed_failures] if run.accepted else []


def _some(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= SHOWN else f"{', '.join(names[:SHOWN])} and {len(names) - SHOWN} more"
