"""Our figures beside those of papers and articles, workload by workload, as markdown."""

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd
import tabulate

from mpcore.records import Published, Run
from mpcore.report.rows import METRIC, rows

REFERENCES = ("fp32", "tf32")
COLUMNS = ["whose", "hardware", "mode", "train s", "a second", "x", "over", "GB", "scores", "note"]


def beside(runs: Sequence[Run], published: Iterable[Published]) -> str:
    """A table for each workload of `runs` that somebody published figures of. What is not known is a dash."""
    ours = [(run, rows(run.results)) for run in runs]
    found: dict[str, list[Published]] = {}
    for figure in published:
        found.setdefault(figure.workload, []).append(figure)
    blocks = []
    for workload, figures in found.items():
        own = [row for run, frame in ours for row in _ours(run, frame[frame.workload == workload])]
        if own:
            table = pd.DataFrame([*map(_theirs, figures), *own], columns=COLUMNS).fillna("-")
            text = tabulate.tabulate(table.values.tolist(), headers=COLUMNS, tablefmt="github", disable_numparse=True)
            blocks.append(f"### {workload}\n\n{text}")
    return "\n\n".join(blocks) + "\n" if blocks else "No figures were published of what these runs measured.\n"


def _theirs(figure: Published) -> dict[str, Any]:
    return {
        "whose": f"{figure.source}: {figure.setting}",
        "hardware": figure.hardware,
        "mode": figure.precision,
        "train s": _figure(figure.train_seconds, "{:,.1f}"),
        "a second": _figure(figure.per_second, "{:,.0f}"),
        "x": _figure(figure.speedup, "{:.2f}"),
        "over": figure.over,
        "GB": _figure(figure.memory_gb, "{:.2f}"),
        "scores": _scores(figure.metrics),
        "note": figure.note,
    }


def _ours(run: Run, frame: pd.DataFrame) -> list[dict[str, Any]]:
    """A row for each mode that was timed or trained."""
    found = []
    measured = frame[frame.step_ms.notna() | frame.train_s.notna()]
    for _, row in measured.iterrows():
        metrics = {str(n).removeprefix(METRIC): row[n] for n in row.index if str(n).startswith(METRIC) and pd.notna(row[n])}
        speedups = {over: value for over in REFERENCES if (value := _speedup(measured, row, over))}
        trained = f"trained on {row['rows']:,.0f}, {row['weights']} weights" if pd.notna(row["train_s"]) else ""
        if row["diverged"] > 0:  # and so was cut short
            trained += f", {row['diverged']:.0f} of {row['seeds']:.0f} diverged"
        found.append(
            {
                "whose": f"here: {row['execution']}, batch {row['batch_size']}",
                "hardware": run.machine.hardware.name,
                "mode": row["precision"],
                "train s": _figure(row["train_s"], "{:,.1f}"),
                "a second": _figure(row["per_second"], "{:,.0f}"),
                "x": " / ".join(f"{value:.2f}" for value in speedups.values()) or None,
                "over": " / ".join(speedups) or None,
                "GB": None if pd.isna(row["peak_gib"]) else _figure(row["peak_gib"] * 2**30 / 1e9, "{:.2f}"),
                "scores": _scores(metrics),
                "note": trained,
            }
        )
    return found


def _speedup(frame: pd.DataFrame, row: pd.Series, over: str) -> float | None:
    """Of steps where they were timed, of trainings else; over the modes that come before its own."""
    if row["precision"] in REFERENCES[: REFERENCES.index(over) + 1]:
        return None
    if pd.notna(row[f"over_{over}"]):
        return float(row[f"over_{over}"])
    if row["diverged"] > 0:
        return None
    alike = (frame.precision == over) & (frame.execution == row["execution"]) & (frame.batch == row["batch"])
    seconds = frame[alike].train_s / row["train_s"]
    return float(seconds.iloc[0]) if len(seconds) and pd.notna(seconds.iloc[0]) else None


def _scores(metrics: dict[str, float]) -> str | None:
    percent = (f"{name} {value:.3f}" if value > 1 else f"{name} {100 * value:.2f} %" for name, value in metrics.items())
    return ", ".join(percent) or None


def _figure(value: Any, form: str) -> str | None:
    return None if pd.isna(value) else form.format(value)
