"""One pandas frame with a row for each case, which all reports draw from.

Columns, with their units: `workload, size, execution, precision` (names); `batch_size`; `unit` (what a sample is);
`step_ms`; `eager_ms` (of the same step launched by Python); `per_second` (samples); `over_fp32`, `over_tf32` (times as
fast); `tflops` (achieved, 10^12 a second); `ceiling_pct` (of what a large matrix product reaches); `joules` (a step);
`peak_gib`, `reserved_gib`, `pool_gib` (allocated and reserved by an eager step, held by the graph); `why` (a sentence);
`train_s`, `evaluation_s` (median over seeds); `trained_per_second` (samples, evaluation left out); `seeds`; `accuracy_pct`,
`accuracy_sd` (points); `points` (accuracy less that of fp32); `precision_pct`, `recall_pct`, `f1_pct`; `loss_error`,
`gradient_error`, `update_error`, `flushed_share` (against FP64); `half_share` (of FLOPs); `verdict` ("ok", "failed", or
"known" for a loss that the mode is known for); `failed` (metrics). NaN where something was not measured.
"""

import statistics
from collections.abc import Iterable
from typing import Any

import pandas as pd

from mpcore.explain import explain
from mpcore.records import Numerics, Parity, Quality, Result, Speed

KEYS = ["workload", "size", "execution", "precision"]


def rows(results: Iterable[Result]) -> pd.DataFrame:
    """In the order in which the cases first appear."""
    merged: dict[tuple[str, ...], dict[str, Any]] = {}
    for result in results:
        if isinstance(result.record, Parity):
            continue  # of which a case has one for each rival: see `parity_rows`
        record, case = result.record, result.record.case
        key = (case.workload, case.size, case.execution, case.precision)
        row = merged.setdefault(key, {**dict(zip(KEYS, key, strict=True)), "failed": []})
        row["unit"] = record.unit
        if not isinstance(record, Numerics):  # whose batch is a part of the workload's
            row["batch_size"] = record.batch_size
        row |= (
            _speed(record)
            if isinstance(record, Speed)
            else _quality(record)
            if isinstance(record, Quality)
            else _numerics(record)
        )
        row["failed"] += [v.metric for v in result.verdicts if not v.passed]
        row["known"] = row.get("known", False) or any(v.known for v in result.verdicts)
    frame = pd.DataFrame(merged.values(), columns=[*KEYS, "failed", "known", *COLUMNS])
    frame["verdict"] = [
        "failed" if failed else "known" if known else "ok" for failed, known in zip(frame.failed, frame.known, strict=True)
    ]
    frame["failed"] = frame.failed.map(", ".join)
    frame["batch_size"] = frame.batch_size.astype("Int64")
    fp32 = frame[frame.precision == "fp32"].set_index(["workload", "size", "execution"]).accuracy_pct
    ours = frame.set_index(["workload", "size", "execution"]).index
    frame["points"] = frame.accuracy_pct - fp32.reindex(ours).to_numpy() if len(fp32) else float("nan")
    return frame


def parity_rows(results: Iterable[Result]) -> pd.DataFrame:
    """A row for each comparison with another trainer. Columns: `workload, size, execution, precision`; `unit`; `rival` (name
    and version); `ours_ms`, `theirs_ms` (a step); `ratio` (times as fast); `ours_pct`, `theirs_pct` (scores of trainings,
    NaN for steps); `verdict`."""
    found = []
    for result in results:
        parity = result.record
        if isinstance(parity, Parity):
            case = parity.case
            row: dict[str, Any] = dict(zip(KEYS, (case.workload, case.size, case.execution, case.precision), strict=True))
            row |= {"unit": parity.unit, "rival": f"{parity.rival} {parity.rival_version}", "ratio": parity.ratio}
            row |= {"ours_ms": 1e3 * parity.ours.step_seconds, "theirs_ms": 1e3 * parity.theirs.step_seconds}
            row |= {f"{whose}_pct": 100 * parity.scores[whose] if parity.scores else None for whose in ("ours", "theirs")}
            found.append(row | {"verdict": "ok" if result.passed else "failed"})
    return pd.DataFrame(found)


def _speed(speed: Speed) -> dict[str, Any]:
    share, eager = speed.ceiling_share, speed.eager
    return {
        "step_ms": speed.blocks.step_seconds * 1e3,
        "eager_ms": None if eager is None else eager.step_seconds * 1e3,
        "per_second": speed.units_per_second,
        "over_fp32": speed.speedup("fp32"),
        "over_tf32": speed.speedup("tf32"),
        "tflops": speed.flops_per_second / 1e12,
        "ceiling_pct": None if share is None else 100 * share,
        "joules": speed.joules_per_step,
        "peak_gib": _gib(speed.peak_allocated_bytes),
        "reserved_gib": _gib(speed.peak_reserved_bytes),
        "pool_gib": _gib(speed.pool_bytes),
        "half_share": speed.half_flops_share,
        "why": explain(speed),
    }


def _gib(count: int | None) -> float | None:
    return None if count is None else count / 2**30


def _quality(quality: Quality) -> dict[str, Any]:
    metrics = quality.trainings[0].metrics
    accuracies = [100 * t.metrics[quality.metric] for t in quality.trainings]
    return {
        "train_s": quality.train_seconds,
        "trained_per_second": statistics.median(_samples(quality, t.steps) / t.train_seconds for t in quality.trainings),
        "evaluation_s": quality.evaluation_seconds,
        "seeds": len(quality.trainings),
        "accuracy_pct": statistics.fmean(accuracies),
        "accuracy_sd": statistics.stdev(accuracies) if len(accuracies) > 1 else None,
        **{f"{name}_pct": 100 * quality.mean(name) for name in ("precision", "recall", "f1") if name in metrics},
    }


def _samples(quality: Quality, steps: int) -> float:
    """That `steps` steps see; the last batch of an epoch may be smaller than the others."""
    rows = quality.rows["train"]
    return steps * rows / -(-rows // quality.batch_size)


def _numerics(numerics: Numerics) -> dict[str, Any]:
    figures = ("loss_error", "gradient_error", "update_error", "flushed_share")
    return {name: getattr(numerics, name) for name in figures} | {"half_share": numerics.half_flops_share}


COLUMNS = [
    "batch_size",
    "unit",
    "step_ms",
    "eager_ms",
    "per_second",
    "over_fp32",
    "over_tf32",
    "tflops",
    "ceiling_pct",
    "joules",
    "peak_gib",
    "reserved_gib",
    "pool_gib",
    "why",
    "train_s",
    "trained_per_second",
    "evaluation_s",
    "seeds",
    "accuracy_pct",
    "accuracy_sd",
    "precision_pct",
    "recall_pct",
    "f1_pct",
    "loss_error",
    "gradient_error",
    "update_error",
    "flushed_share",
    "half_share",
]
