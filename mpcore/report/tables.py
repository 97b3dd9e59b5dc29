"""Tables of figures, for a terminal and for markdown."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd
import tabulate

LEADING = {"precision": ("mode", "{}")}
SPEED = {
    "step_ms": ("step ms", "{:.2f}"),
    "per_second": ("{unit}/s", "{:,.0f}"),
    "over_fp32": ("x fp32", "{:.2f}"),
    "over_tf32": ("x tf32", "{:.2f}"),
    "peak_gib": ("GiB", "{:.2f}"),
}
STEP = {
    "step_ms": ("step ms", "{:.3f}"),
    "eager_ms": ("eager ms", "{:.1f}"),
    "per_second": ("{unit}/s", "{:,.0f}"),
    "over_fp32": ("x fp32", "{:.2f}"),
    "over_tf32": ("x tf32", "{:.2f}"),
    "tflops": ("TFLOP/s", "{:.1f}"),
    "ceiling_pct": ("% of ceiling", "{:.0f}"),
    "joules": ("J a step", "{:.2f}"),
    "peak_gib": ("GiB", "{:.2f}"),
    "reserved_gib": ("reserved", "{:.2f}"),
    "pool_gib": ("graph's pool", "{:.2f}"),
}
SHORT = {"accuracy %": "acc. %", "perplexity": "ppl"}
"""A terminal is narrow."""
QUALITY = {
    "train_s": ("train", "{:.1f}"),
    "score": ("{short}", "{:.2f}"),
    "points": ("pts", "{:+.2f}"),
}
SCORES = {
    "train_s": ("train s", "{:.2f}"),
    "trained_per_second": ("{unit}/s", "{:,.0f}"),
    "evaluation_s": ("evaluation s", "{:.2f}"),
    "score": ("{metric}", "{:.2f}"),
    "score_sd": ("sd", "{:.2f}"),
    "points": ("points over fp32", "{:+.2f}"),
}
ERRORS = {
    "gradient_error": ("grad.", "{:.0e}"),
    "update_error": ("upd.", "{:.0e}"),
}
NUMERICS = {
    "loss_error": ("loss error", "{:.1e}"),
    "gradient_error": ("gradient error", "{:.1e}"),
    "update_error": ("error of 20 updates", "{:.1e}"),
    "flushed_share": ("flushed to zero", "{:.1e}"),
    "half_share": ("FLOPs in 16 bits", "{:.0%}"),
}
PARITY = {
    "workload": ("workload", "{}"),
    "precision": ("mode", "{}"),
    "execution": ("ours as", "{}"),
    "rival": ("against", "{}"),
    "ours_ms": ("ours ms", "{:.3f}"),
    "theirs_ms": ("theirs ms", "{:.3f}"),
    "ratio": ("times as fast", "{:.2f}"),
    "ours_pct": ("ours %", "{:.2f}"),
    "theirs_pct": ("theirs %", "{:.2f}"),
}
RIVALS = {
    "workload": ("workload", "{}"),
    "precision": ("mode", "{}"),
    "execution": ("as", "{}"),
    "rival": ("against", "{}"),
    "ours_ms": ("ours ms", "{:.2f}"),
    "theirs_ms": ("theirs", "{:.2f}"),
    "ratio": ("x", "{:.2f}"),
    "ours_pct": ("ours %", "{:.2f}"),
    "theirs_pct": ("theirs", "{:.2f}"),
}
SWEEP = {
    "execution": ("as", "{}"),
    "batch_size": ("batch", "{}"),
    "precision": ("mode", "{}"),
    "step_ms": ("step ms", "{:.3f}"),
    "per_second": ("{unit}/s", "{:,.0f}"),
    "over_fp32": ("x fp32", "{:.2f}"),
    "over_tf32": ("x tf32", "{:.2f}"),
}
VERDICT = {"verdict": ("gate", "{}")}
SINCE = {"since": ("since", "{}")}
"""Against accepted runs, where there are any."""

TEXTS = ("workload", "precision", "execution", "rival", "verdict", "since", "failed")

Columns = Mapping[str, tuple[str, str]]


def table(frame: pd.DataFrame, columns: Columns, style: str) -> str:
    """The columns of `frame` that hold anything, as text. `style` is one of tabulate's formats."""
    shown = [name for name in columns if frame[name].notna().any()]
    metric = next(iter(frame.metric.dropna()), "") if "metric" in frame else ""
    words = {"unit": frame.unit.iloc[0], "metric": metric, "short": SHORT.get(metric, metric)}
    headers = [columns[name][0].format(**words) for name in shown]
    cells = [[_cell(row[name], columns[name][1]) for name in shown] for _, row in frame.iterrows()]
    align = ["left" if name in TEXTS else "right" for name in shown]
    return tabulate.tabulate(cells, headers=headers, tablefmt=style, disable_numparse=True, colalign=align)


def title(part: pd.DataFrame, device: str) -> str:
    """Of a workload's table."""
    first, batch = part.iloc[0], part.batch_size.dropna()
    of = f", batch of {batch.iloc[0]}" if len(batch) else ""
    return f"{first.workload} ({first['size']}, {first.execution}{of}, on {device})"


def _cell(value: Any, form: str) -> str:
    if isinstance(value, float) and math.isinf(value):
        return "not finite"
    return "-" if pd.isna(value) else form.format(value)
