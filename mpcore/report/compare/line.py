"""One figure of one case on one hardware: what the tables, and a file with a line for each, are made of."""

import csv
import io
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import pandas as pd

from mpcore.records import Run
from mpcore.report.compare.figure import FIGURES, SCORE, Figure
from mpcore.report.rows import KEYS, frame, key, parity_rows

Place = tuple[str, ...]
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Line:
    """batch: samples of a batch. value: None where it was measured and is no finite number. setting: what else it depends on,
    which is the version of the workload, how much is trained on, and from which weights. source: its file, or how many runs
    it is the median of; of what was published who says so, of what."""

    workload: str
    size: str
    execution: str
    batch: str
    precision: str
    hardware: str
    figure: str
    unit: str
    value: float | None
    published: bool
    setting: str
    source: str

    @property
    def case(self) -> Place:
        """All but the mode of what has to be the same for two figures to stand in one row."""
        return self.workload, self.size, self.execution, self.batch, self.setting, self.unit


def measured(runs: Sequence[Run]) -> list[Line]:
    """Where there are several runs of one hardware, the median."""
    found: dict[Line, list[tuple[float | None, str]]] = {}
    for row in _rows(runs):
        for figure in FIGURES:
            value = row.get(figure.column)
            if pd.notna(value):
                found.setdefault(_place(row, figure), []).append((float(value) if math.isfinite(value) else None, row["run"]))
    return [_filled(line, values) for line, values in found.items()]


def text(lines: Sequence[Line]) -> str:
    """As CSV, the names of the columns first."""
    file = io.StringIO()
    writer = csv.DictWriter(file, [field.name for field in fields(Line)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(line) for line in lines)
    return file.getvalue()


def _rows(runs: Sequence[Run]) -> Iterator[Row]:
    """Those of the frame, and those beside other trainers, each with the version of its workload and the batch that it really
    had."""
    for run in runs:
        versions = {key(result.record.case): result.record.workload_version for result in run.results}
        place = {"run": run.path, "hardware": run.machine.hardware.key}
        for row in (*frame([run]).to_dict("records"), *parity_rows(run.results).to_dict("records")):
            version = versions[tuple(row[name] for name in KEYS)]
            batch = row["batch"] if pd.isna(row["batch_size"]) else row["batch_size"]
            yield {str(name): value for name, value in row.items()} | place | {"version": version, "batch": str(batch)}


def _place(row: Row, figure: Figure) -> Line:
    """What no value is in yet."""
    trained = f", {row['rows']:,.0f} rows, {row['weights']}" if figure is SCORE else ""
    return Line(
        workload=row["workload"],
        size=row["size"],
        execution=row["execution"],
        batch=row["batch"],
        precision=row["precision"],
        hardware=row["hardware"],
        figure=figure.name,
        unit=figure.unit.format(**row),
        value=None,
        published=False,
        setting=f"v{row['version']}{trained}",
        source="",
    )


def _filled(line: Line, found: Sequence[tuple[float | None, str]]) -> Line:
    values = [value for value, _ in found if value is not None]
    source = found[0][1] if len(found) == 1 else f"median of {len(found)} runs"
    return replace(line, value=statistics.median(values) if values else None, source=source)
