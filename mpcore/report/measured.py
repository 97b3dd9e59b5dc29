"""The figures of saved runs, a line each."""

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import replace

from mpcore.gate.software import counting
from mpcore.records import Run
from mpcore.report.figure import FIGURES, SCORE, Figure
from mpcore.report.line import Line
from mpcore.report.rows import Row, how, parity_rows, rows
from mpcore.store import since_reset

RANGED = {figure.name for figure in FIGURES if figure.ranged}


def measured(runs: Sequence[Run]) -> list[Line]:
    """Where there are several runs of one hardware, the median, or of some figures the range, since a case was last reset."""
    found: dict[Line, list[tuple[float | None, Row]]] = {}
    for row in _rows(since_reset(runs)):
        for figure in FIGURES:
            value = row.get(figure.column)
            if value is not None:
                found.setdefault(_place(row, figure), []).append((value if math.isfinite(value) else None, row))
    return [_filled(line, values) for line, values in found.items()]


def _rows(runs: Sequence[Run]) -> Iterator[Row]:
    """Each with its run, and the version of its workload."""
    for run in runs:
        versions = {result.record.case.workload: result.record.workload_version for result in run.results}
        for row in (*rows(run.results), *parity_rows(run.results)):
            place = {"run": run, "hardware": run.machine.hardware.key, "version": versions[row["workload"]]}
            yield {**row, **place}


def _place(row: Row, figure: Figure) -> Line:
    """What no value is in yet."""
    trained = f", {row['rows']:,} rows, {row['weights']}" if figure is SCORE else ""
    return Line(
        workload=row["workload"],
        size=row["size"],
        execution=how(row),
        batch=str(row["batch_size"] or row["batch"]),
        precision=row["precision"],
        hardware=row["hardware"],
        figure=figure.name,
        unit=figure.unit.format(**row),
        value=None,
        published=False,
        setting=f"v{row['version']}{trained}",
        source="",
    )


def _filled(line: Line, found: Sequence[tuple[float | None, Row]]) -> Line:
    values = [value for value, _ in found if value is not None]
    line = replace(line, software=tuple(_software([row for _, row in found])))
    if line.figure in RANGED and len(set(values)) > 1:
        return replace(line, value=min(values), highest=max(values), source=f"range of {len(found)} runs")
    source = found[0][1]["run"].path if len(found) == 1 else f"median of {len(found)} runs"
    return replace(line, value=statistics.median(values) if values else None, source=source)


def _software(of: Sequence[Row]) -> Iterator[tuple[str, str]]:
    """Each name once, with all versions that any of their runs has."""
    versions: dict[str, dict[str, None]] = {}
    for row in of:
        for name, version in counting(row["run"].machine.software, row["gpus"]).items():
            versions.setdefault(name, {})[version] = None
    return ((name, " / ".join(found)) for name, found in versions.items())
