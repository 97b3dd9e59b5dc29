"""Our figures beside those of papers and articles, workload by workload."""

from collections.abc import Iterable, Mapping, Sequence

from mpcore.records import Published, Run
from mpcore.report.columns import written
from mpcore.report.document import Section, Table
from mpcore.report.rows import METRIC, Row, group_of, how, rows

REFERENCES = ("fp32", "tf32")
HEADINGS = ("whose", "hardware", "mode", "train s", "a second", "x", "over", "GB", "scores", "note")


def beside_published(runs: Sequence[Run], figures: Iterable[Published]) -> list[Section]:
    """A section for each workload of `runs` that somebody published figures of."""
    ours = [(run, rows(run.results)) for run in runs]
    workloads: dict[str, list[Published]] = {}
    for figure in figures:
        workloads.setdefault(figure.workload, []).append(figure)
    sections = []
    for workload, theirs in workloads.items():
        own = [cells for run, found in ours for cells in _ours(run, [row for row in found if row["workload"] == workload])]
        if own:
            table = Table(HEADINGS, [*map(_theirs, theirs), *own], "l" * len(HEADINGS))
            sections.append(Section(workload, tables=[table]))
    return sections


def _theirs(figure: Published) -> list[str]:
    return [
        f"{figure.source}: {figure.setting}",
        figure.hardware,
        figure.precision,
        written(figure.train_seconds, "{:,.1f}"),
        written(figure.per_second, "{:,.0f}"),
        written(figure.speedup, "{:.2f}"),
        figure.over or "-",
        written(figure.memory_gb, "{:.2f}"),
        _scores(figure.metrics),
        figure.note,
    ]


def _ours(run: Run, found: Sequence[Row]) -> list[list[str]]:
    """A row for each mode that was timed or trained."""
    measured = [row for row in found if row["step_ms"] is not None or row["train_s"] is not None]
    return [_own(run.machine.hardware.name, row, measured) for row in measured]


def _own(hardware: str, row: Row, measured: Sequence[Row]) -> list[str]:
    metrics = {name.removeprefix(METRIC): value for name, value in row.items() if name.startswith(METRIC) and value is not None}
    speedups = {over: value for over in REFERENCES if (value := _speedup(measured, row, over))}
    trained = f"trained on {row['rows']:,}, {row['weights']} weights" if row["train_s"] is not None else ""
    if row["diverged"]:  # and so was cut short
        trained += f", {row['diverged']} of {row['seeds']} diverged"
    return [
        f"here: {how(row)}, batch {row['batch_size']}",
        hardware,
        row["precision"],
        written(row["train_s"], "{:,.1f}"),
        written(row["per_second"], "{:,.0f}"),
        " / ".join(f"{value:.2f}" for value in speedups.values()) or "-",
        " / ".join(speedups) or "-",
        "-" if row["peak_gib"] is None else f"{row['peak_gib'] * 2**30 / 1e9:.2f}",
        _scores(metrics),
        trained,
    ]


def _speedup(measured: Sequence[Row], row: Row, over: str) -> float | None:
    """Of steps where they were timed, of trainings else; over the modes that come before its own."""
    if row["precision"] in REFERENCES[: REFERENCES.index(over) + 1]:
        return None
    if row[f"over_{over}"] is not None or row["diverged"]:
        return row[f"over_{over}"]
    reference = next((r for r in measured if (group_of(r), r["precision"]) == (group_of(row), over)), {})
    return reference["train_s"] / row["train_s"] if reference.get("train_s") and row["train_s"] else None


def _scores(metrics: Mapping[str, float]) -> str:
    said = (f"{name} {value:.3f}" if value > 1 else f"{name} {100 * value:.2f} %" for name, value in metrics.items())
    return ", ".join(said) or "-"
