"""The columns of tables of cases: what stands over a figure of a row, and how it is written. Each is described here once."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mpcore.report.document import NOTHING, Table
from mpcore.report.rows import Row

TEXT = "{}"


@dataclass(frozen=True)
class Column:
    """heading: may name other figures in braces. form: a text stands on the left, all else on the right. brief: heading and
    form where there is little room."""

    heading: str
    form: str = TEXT
    brief: tuple[str, str] | None = None


COLUMNS: Mapping[str, Column] = {
    "workload": Column("workload"),
    "precision": Column("mode"),
    "execution": Column("as"),
    "batch_size": Column("batch", "{:d}"),
    "step_ms": Column("step ms", "{:.3f}", ("step ms", "{:.2f}")),
    "eager_ms": Column("eager ms", "{:.1f}"),
    "per_second": Column("{unit}/s", "{:,.0f}"),
    "over_fp32": Column("x fp32", "{:.2f}"),
    "over_tf32": Column("x tf32", "{:.2f}"),
    "over_base": Column("x base", "{:.3f}"),
    "over_graph": Column("x graph", "{:.2f}"),
    "compile_s": Column("compile s", "{:.1f}"),
    "tflops": Column("TFLOP/s", "{:.1f}"),
    "ceiling_pct": Column("% of ceiling", "{:.0f}"),
    "joules": Column("J a step", "{:.2f}"),
    "peak_gib": Column("GiB", "{:.2f}"),
    "reserved_gib": Column("reserved", "{:.2f}"),
    "pool_gib": Column("graph's pool", "{:.2f}"),
    "casts": Column("casts", "{:,.0f}"),
    "launches": Column("launches", "{:,.0f}"),
    "saved_gib": Column("saved GiB", "{:.3f}"),
    "train_s": Column("train s", "{:.2f}", ("train", "{:.1f}")),
    "trained_per_second": Column("{unit}/s", "{:,.0f}"),
    "evaluation_s": Column("evaluation s", "{:.2f}"),
    "score": Column("{metric}", "{:.2f}", ("{short}", "{:.2f}")),
    "score_sd": Column("sd", "{:.2f}"),
    "points": Column("points over fp32", "{:+.2f}", ("pts", "{:+.2f}")),
    "points_over_base": Column("points over base", "{:+.2f}", ("pts base", "{:+.2f}")),
    "loss_error": Column("loss error", "{:.1e}"),
    "gradient_error": Column("gradient error", "{:.1e}", ("grad.", "{:.0e}")),
    "update_error": Column("error of 20 updates", "{:.1e}", ("upd.", "{:.0e}")),
    "flushed_share": Column("flushed to zero", "{:.1e}"),
    "low_precision_share": Column("FLOPs in 16 bits", "{:.0%}"),
    "against": Column("against"),
    "ours_ms": Column("ours ms", "{:.3f}"),
    "theirs_ms": Column("theirs ms", "{:.3f}"),
    "ratio": Column("x", "{:.2f}"),
    "ours_pct": Column("ours %", "{:.2f}"),
    "theirs_pct": Column("theirs %", "{:.2f}"),
    "verdict": Column("gate"),
    "regression": Column("since"),
    "failed": Column("what failed"),
}
STEP = ("precision", "step_ms", "per_second", "over_fp32", "over_tf32", "over_base", "over_graph")
WORK = ("casts", "launches", "saved_gib")
SUMMARY = (
    *(
        "precision",
        "step_ms",
        "eager_ms",
        *STEP[2:],
        "compile_s",
        "peak_gib",
        *WORK,
        "train_s",
        "score",
        "points",
        "points_over_base",
    ),
    *("gradient_error", "update_error", "verdict"),
)
MEMORY = ("peak_gib", "reserved_gib", "pool_gib")
SPEED = ("precision", "step_ms", "eager_ms", *STEP[2:], "compile_s", "tflops", "ceiling_pct", "joules", *MEMORY)
TRAININGS = ("precision", "train_s", "trained_per_second", "evaluation_s", "score", "score_sd", "points", "points_over_base")
ERRORS = ("precision", "loss_error", "gradient_error", "update_error", "flushed_share", "low_precision_share")
BATCHES = ("execution", "batch_size", *STEP)
TRAINERS = ("against", "ours_ms", "theirs_ms", "ratio", "ours_pct", "theirs_pct")
PARITY = ("workload", "precision", "execution", *TRAINERS, "verdict")
VERDICTS = ("precision", "verdict", "failed")

SHORT = {"accuracy %": "acc. %", "perplexity": "ppl"}


def columns(names: Iterable[str], *, brief: bool = False) -> dict[str, Column]:
    """Those of figures. brief: for little room."""
    found = {name: COLUMNS[name] for name in names}
    return {name: Column(*column.brief) if brief and column.brief else column for name, column in found.items()}


def table(rows: Sequence[Row], shown: Mapping[str, Column], spare: Sequence[str] = ()) -> Table:
    """The columns that hold anything. spare: figures that a terminal leaves out first."""
    held = {name: column for name, column in shown.items() if any(row.get(name) is not None for row in rows)}
    metric = next((row["metric"] for row in rows if row.get("metric")), "")
    words = {"unit": rows[0]["unit"], "metric": metric, "short": SHORT.get(metric, metric)}
    headings = {name: column.heading.format(**words) for name, column in held.items()}
    cells = [[written(row.get(name), column.form) for name, column in held.items()] for row in rows]
    align = "".join("l" if column.form == TEXT else "r" for column in held.values())
    return Table(list(headings.values()), cells, align, [headings[name] for name in spare if name in headings])


def written(value: Any, form: str) -> str:
    """A dash for what was not measured."""
    if value is None:
        return NOTHING
    return "not finite" if isinstance(value, float) and math.isinf(value) else form.format(value)
