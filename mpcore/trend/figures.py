"""From a run to its figures."""

import math
from typing import Any

from mpcore.records import CaseFigures, Run, RunFigures, Speed
from mpcore.report.rows import METRIC, rows

TOLD = {
    "step_ms": "step time, median block, ms",
    "least_ms": "step time, shortest block, ms",
    "eager_ms": "eager step time, ms",
    "peak_gib": "memory of an eager step, GiB",
    "pool_gib": "memory of the graph, GiB",
    "joules": "energy of a step, J",
    "launches": "kernels of a step",
    "casts": "casts of a step",
    "saved_gib": "kept for the backward pass, GiB",
    "loss_error": "error of the loss",
    "gradient_error": "error of the gradient",
    "update_error": "error of 20 updates",
    "flushed_share": "gradient flushed to zero, share",
    "score": "score",
    "train_s": "time of a training, s",
    "over_fp32": "times as fast as fp32",
    "over_tf32": "times as fast as tf32",
}
"""Figures that have a name of their own."""
USUAL = ("least_ms", "peak_gib", "pool_gib", "launches", "casts", "saved_gib", "gradient_error", "update_error", "score")
"""Those that are looked at unless others are named. Eager times differ from start to start, and errors of a loss by chance."""


def figures_of(run: Run) -> RunFigures:
    """All that are numbers."""
    least = {r.record.case.id: 1e3 * r.record.blocks.least_step_seconds for r in run.results if isinstance(r.record, Speed)}
    versions = {result.record.case.id: result.record.workload_version for result in run.results}
    cases = [
        CaseFigures(
            case=row["case"],
            workload_version=versions[row["case"]],
            batch_size=row["batch_size"],
            figures=_numbers(row | ({"least_ms": least[row["case"]]} if row["case"] in least else {})),
        )
        for row in rows(run.results)
        if row["batch_size"]
    ]
    return RunFigures(
        datetime=run.datetime,
        commit=run.commit,
        hardware=run.machine.hardware.key,
        software=run.machine.software,
        cases=tuple(cases),
    )


def _numbers(row: dict[str, Any]) -> dict[str, float | None]:
    return {
        name: float(f"{value:.7g}")
        for name, value in row.items()
        if (name in TOLD or name.startswith(METRIC))
        and isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
    }
