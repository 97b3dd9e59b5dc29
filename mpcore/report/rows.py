"""One pandas frame with a row for each case, which all reports draw from.

Columns, with their units: `workload, size, execution, precision` (names); `batch` (a size of batch that was asked for, as
text, or ""); `batch_size`; `unit` (what a sample is); `step_ms`; `eager_ms` (of the same step launched by Python);
`per_second` (samples); `over_fp32`, `over_tf32` (times as fast); `tflops` (achieved, 10^12 a second); `ceiling_pct` (of what
a large matrix product reaches); `joules` (a step); `peak_gib`, `reserved_gib`, `pool_gib` (allocated and reserved by an eager
step, held by the graph); `why` (a sentence); `train_s`, `evaluation_s` (median over seeds); `trained_per_second` (of `unit`,
evaluation left out); `seeds`; `diverged` (trainings that came to nothing); `rows` (samples to train); `weights` (that it
starts from: random, or the name of a checkpoint); `metric` (the name of what counts), `score` and `score_sd` (its mean and
deviation: in per cent, or as it is where lower is better); `points` (how much better than fp32: percentage points, or per cent
where lower is better); `metric:<name>` (each metric as it is, mean over seeds); `remark` (what the mode says of itself);
`loss_error`, `gradient_error`, `update_error`, `flushed_share` (against FP64); `half_share` (of FLOPs); `verdict` ("ok",
"failed", or "known" for a loss that the mode is known for); `since` (the gravest status against accepted runs: "worse",
"undecided", "better", "new" or "same"); `failed` (metrics, and tests that failed before they came to a verdict). NaN where
something was not measured; inf where a score or an error was, and is no finite number.

Of several runs each row begins with `run` (its file), `measured` (when, ISO 8601), `commit`, `hardware` (the key that makes
two comparable), `device` (its name), `torch` (the version), `accepted` (whether the run is a baseline).
"""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mpcore.explain import explain
from mpcore.records import Case, FailedTest, Numerics, Parity, Quality, Result, Run, Speed, Status

RUN = ["run", "measured", "commit", "hardware", "device", "torch", "accepted"]
KEYS = ["workload", "size", "execution", "batch", "precision"]
METRIC = "metric:"
SEVERITY: Sequence[Status] = ("worse", "undecided", "better", "new", "same")


def frame(runs: Iterable[Run]) -> pd.DataFrame:
    """The rows of all `runs`, one after the other, with the columns `RUN` before them."""
    return _frame([row for run in runs for row in _rows(run.results, run.failed, _of(run))], RUN)


def rows(results: Iterable[Result], failed: Sequence[FailedTest] = ()) -> pd.DataFrame:
    """In the order in which the cases first appear. failed: tests of theirs, also those whose verdicts passed."""
    return _frame(_rows(results, failed, {}), [])


def _of(run: Run) -> dict[str, Any]:
    software = run.machine.software
    return {
        "run": run.path,
        "measured": run.datetime,
        "commit": run.commit,
        "hardware": run.machine.hardware.key,
        "device": run.machine.hardware.name,
        "torch": software.get("torch"),
        "accepted": run.accepted is not None,
    }


def _rows(results: Iterable[Result], failed: Sequence[FailedTest], of: Mapping[str, Any]) -> list[dict[str, Any]]:
    merged: dict[tuple[str, ...], dict[str, Any]] = {}
    tests = {(failure.case, failure.kind) for failure in failed}
    for result in results:
        if isinstance(result.record, Parity):
            continue  # of which a case has one for each rival: see `parity_rows`
        record, case = result.record, result.record.case
        new = {
            **of,
            **dict(zip(KEYS, key(case), strict=True)),
            "case": case.id,
            "tests": set(),
            "failed": [],
            "statuses": set(),
        }
        row = merged.setdefault(key(case), new)
        row["tests"].add(record.test)
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
        told = [v.metric for v in result.verdicts if not v.passed]
        row["failed"] += told or ([record.test] if (case.id, record.test) in tests else [])
        row["known"] = row.get("known", False) or any(v.known for v in result.verdicts)
        row["statuses"] |= {v.status for v in result.verdicts if v.compared}
    for own, row in merged.items():
        row["failed"] += sorted(kind for case, kind in tests if case == row["case"] and kind not in row["tests"])
        row["verdict"] = "failed" if row["failed"] else "known" if row["known"] else "ok"
        row["failed"] = ", ".join(row["failed"])
        row["since"] = next((status for status in SEVERITY if status in row["statuses"]), None)
        row["points"] = _points(merged, own)
    return list(merged.values())


def _frame(found: Sequence[Mapping[str, Any]], first: Sequence[str]) -> pd.DataFrame:
    metrics = dict.fromkeys(name for row in found for name in row if name.startswith(METRIC))
    frame = pd.DataFrame(found, columns=[*first, *KEYS, *COLUMNS, *metrics])
    frame["batch_size"] = frame.batch_size.astype("Int64")
    return frame


def _points(merged: Mapping[tuple[str, ...], dict[str, Any]], own: tuple[str, ...]) -> float | None:
    """Of a row against that of fp32."""
    ours, theirs = (merged.get(k, {}).get("quality") for k in (own, (*own[:-1], "fp32")))
    return ours.points_over(theirs) if ours and theirs else None


def key(case: Case) -> tuple[str, ...]:
    batch = "" if case.batch_size is None else str(case.batch_size)
    return case.workload, case.size, case.execution, batch, case.precision


def parity_rows(results: Iterable[Result]) -> pd.DataFrame:
    """A row for each comparison with another trainer. Columns: `workload, size, execution, batch, precision`; `batch_size`;
    `unit`; `rival` (name and version); `ours_ms`, `theirs_ms` (a step); `ratio` (times as fast); `ours_pct`, `theirs_pct`
    (scores of trainings, NaN for steps); `verdict`."""
    found = []
    for result in results:
        parity = result.record
        if isinstance(parity, Parity):
            case = parity.case
            row: dict[str, Any] = dict(zip(KEYS, key(case), strict=True))
            row |= {
                "batch_size": parity.batch_size,
                "unit": parity.unit,
                "rival": f"{parity.rival} {parity.rival_version}",
                "ratio": parity.ratio,
            }
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
        "remark": speed.remark,
    }


def _gib(count: int | None) -> float | None:
    return None if count is None else count / 2**30


def _quality(quality: Quality) -> dict[str, Any]:
    percent = 1 if quality.lower_is_better else 100
    scores = [percent * value for value in quality.values(quality.metric)]
    return {
        "quality": quality,
        "train_s": quality.train_seconds,
        "trained_per_second": statistics.median(_samples(quality, t.steps) / t.train_seconds for t in quality.trainings),
        "evaluation_s": quality.evaluation_seconds,
        "seeds": len(quality.trainings),
        "diverged": sum(t.diverged is not None for t in quality.trainings),
        "rows": quality.rows["train"],
        "weights": quality.weights.rstrip("/").rsplit("/", 1)[-1],
        "metric": quality.metric if quality.lower_is_better else f"{quality.metric} %",
        "score": _finite(statistics.fmean(scores)),
        "score_sd": float(np.std(scores, ddof=1)) if len(scores) > 1 else None,
        **{f"{METRIC}{name}": quality.mean(name) for name in quality.trainings[0].metrics},
    }


def _finite(value: float | None) -> float:
    return math.inf if value is None or math.isnan(value) else value


def _samples(quality: Quality, steps: int) -> float:
    """What `steps` steps see, in its unit; the last batch of an epoch may be smaller than the others."""
    rows = quality.rows["train"] * quality.units_per_sample
    return steps * rows / -(-quality.rows["train"] // quality.batch_size)


def _numerics(numerics: Numerics) -> dict[str, Any]:
    figures = ("loss_error", "gradient_error", "update_error", "flushed_share")
    return {name: _finite(getattr(numerics, name)) for name in figures} | {"half_share": numerics.half_flops_share}


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
    "remark",
    "train_s",
    "trained_per_second",
    "evaluation_s",
    "seeds",
    "diverged",
    "rows",
    "weights",
    "metric",
    "score",
    "score_sd",
    "loss_error",
    "gradient_error",
    "update_error",
    "flushed_share",
    "half_share",
    "points",
    "verdict",
    "since",
    "failed",
]
