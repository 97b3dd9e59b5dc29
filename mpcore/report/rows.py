"""One row for each case: the figures that all reports draw from. `frame` has the meaning of the columns."""

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mpcore.kernels.bound import bound
from mpcore.records import (
    OWN_TRAINER,
    Case,
    Compiled,
    FailedTest,
    Numerics,
    Parallel,
    Parity,
    Quality,
    Race,
    RegressionStatus,
    Result,
    Speed,
    Turns,
    Work,
)
from mpcore.report.compiled import as_graph, graphs, how_compiled, what_was_compiled

Row = dict[str, Any]
"""By the name of the column. None where something was not measured, inf where it is no finite number."""

KEYS = ("workload", "size", "execution", "batch", "trainer", "strategy", "gpus", "precision")
METRIC = "metric:"
SEVERITY: Sequence[RegressionStatus] = (
    "worse",
    "changed",
    "undecided",
    "better",
    "saturated",
    "incomparable",
    "new",
    "same",
)
COLUMNS = (
    *KEYS,
    *(
        "batch_size",
        "unit",
        "step_ms",
        "eager_ms",
        "per_second",
        "over_fp32",
        "over_tf32",
        "over_base",
        "over_graph",
        "tflops",
        "ceiling_pct",
        "joules",
    ),
    *(
        "peak_gib",
        "reserved_gib",
        "pool_gib",
        "compile_s",
        "compiled",
        "graphs",
        "graph_breaks",
        "recompilations",
        "waits",
        "why",
        "remark",
        "casts",
        "launches",
        "saved_gib",
        "train_s",
        "trained_per_second",
        "evaluation_s",
        "seeds",
    ),
    *(
        "diverged",
        "rows",
        "weights",
        "metric",
        "score",
        "score_sd",
        "points",
        "points_over_base",
        "loss_error",
        "gradient_error",
        "update_error",
    ),
    *("flushed_share", "low_precision_share", "verdict", "regression", "failed"),
)


def rows(results: Iterable[Result], failed: Sequence[FailedTest] = ()) -> list[Row]:
    """In the order in which the cases first appear. failed: tests of theirs, also those that passed what was judged."""
    cases: dict[str, list[Result]] = {}
    others: dict[str, list[Result]] = {}
    for result in results:
        group = cases if isinstance(result.record, Speed | Quality | Numerics | Work | Parallel) else others
        group.setdefault(result.record.case.id, []).append(result)
    as_graphs = graphs(result for of in cases.values() for result in of)
    return [_row(of, others.get(case, []), [f for f in failed if f.case == case], as_graphs) for case, of in cases.items()]


def parity_rows(results: Iterable[Result]) -> list[Row]:
    """A row for each comparison with another trainer, and for each pair of a race that took turns. Columns: `KEYS`;
    `batch_size`; `unit`; `against` (name and version); `ours_ms`, `theirs_ms` (a step); `ratio` (times as fast); `ours_pct`,
    `theirs_pct` (scores of trainings, None for steps); `verdict`."""
    found: list[Row] = []
    for result in results:
        if isinstance(result.record, Parity):
            found.append(_parity(result.record, result))
        elif isinstance(result.record, Race):
            found += [_turns(result.record, turns, result) for turns in result.record.turns]
    return found


def group_of(row: Row) -> tuple[Any, ...]:
    """What the cases of one table share: all but the mode."""
    return tuple(row[name] for name in KEYS[:-1])


def grouped(found: Iterable[Row]) -> list[list[Row]]:
    """Apart by what the cases of one table share, in the order in which they first appear. Those that differ in how they are
    run stand side by side."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    first: dict[tuple[Any, ...], int] = {}
    for row in found:
        groups.setdefault(group_of(row), []).append(row)
        first.setdefault(_but_for_execution(row), len(first))
    return sorted(groups.values(), key=lambda group: first[_but_for_execution(group[0])])


def _but_for_execution(row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in KEYS[:-1] if name != "execution")


def keys(case: Case) -> dict[str, Any]:
    """What names a case: `KEYS`, and its id."""
    named = {name: getattr(case, name) for name in KEYS if name != "batch"}
    return named | {"batch": "" if case.batch_size is None else str(case.batch_size), "case": case.id}


def how(row: Row) -> str:
    """How a step is run: its execution, and what else is not the usual."""
    spread = f"{row['strategy']} on {row['gpus']} GPUs" if (row["strategy"], row["gpus"]) != ("single", 1) else ""
    trainer = f"by {row['trainer']}" if row["trainer"] != OWN_TRAINER else ""
    return ", ".join(filter(None, [row["execution"], spread, trainer]))


def _row(of: Sequence[Result], others: Sequence[Result], failed: Sequence[FailedTest], as_graphs: Mapping[Case, Speed]) -> Row:
    row: dict[str, Any] = dict.fromkeys(COLUMNS) | keys(of[0].record.case) | {"unit": of[0].record.unit, "warmth": None}
    for record in (result.record for result in of):
        if isinstance(record, Speed):
            row |= _speed(record, as_graph(record, as_graphs))
        elif isinstance(record, Quality):
            row |= _quality(record)
        elif isinstance(record, Numerics):
            row |= _numerics(record)
        elif isinstance(record, Work):
            row |= _work(record) | {"compiled": row["compiled"] or what_was_compiled(record)}
            row |= _counts(record.compiled) if row["graphs"] is None else {}
    judged = [*of, *others]
    lost = [metric for result in judged for metric in _lost(result, failed)]
    lost += sorted({f.kind for f in failed} - {result.record.kind for result in judged})
    known = any(check.status == "expected_failure" for result in judged for check in result.checks)
    statuses = {regression.status for result in judged for regression in result.regressions}
    return row | {
        "verdict": "failed" if lost else "known" if known else "ok",
        "regression": next((status for status in SEVERITY if status in statuses), None),
        "failed": ", ".join(lost),
    }


def _lost(result: Result, failed: Sequence[FailedTest]) -> list[str]:
    """The metrics that failed, or the test, if it did before it came to a judgement."""
    kind = result.record.kind
    return [j.metric for j in result.judgements if not j.passed] or [kind] * any(f.kind == kind for f in failed)


def _speed(speed: Speed, graph: Speed | None) -> dict[str, Any]:
    """graph: the same step, not compiled."""
    share, eager = speed.ceiling_share, speed.eager
    return {
        "batch_size": speed.batch_size,
        "step_ms": speed.blocks.step_seconds * 1e3,
        "eager_ms": None if eager is None else eager.step_seconds * 1e3,
        "per_second": speed.units_per_second,
        "over_fp32": speed.speedup("fp32"),
        "over_tf32": speed.speedup("tf32"),
        "over_base": speed.speedup(base) if (base := speed.requirements.base) else None,
        "over_graph": None if graph is None else graph.blocks.step_seconds / speed.blocks.step_seconds,
        "compile_s": None if speed.compilation is None else speed.compilation.seconds,
        "compiled": how_compiled(speed, graph),
        "warmth": None if speed.compilation is None else speed.compilation.warmth,
        **_counts(speed.compilation),
        "tflops": speed.flops_per_second / 1e12,
        "ceiling_pct": None if share is None else 100 * share,
        "joules": speed.joules_per_step,
        "peak_gib": _gib(speed.peak_allocated_bytes),
        "reserved_gib": _gib(speed.peak_reserved_bytes),
        "pool_gib": _gib(speed.pool_bytes),
        "low_precision_share": speed.low_precision_flops_share,
        "why": bound(speed),
        "remark": speed.remark,
    }


def _counts(found: Compiled | None) -> dict[str, Any]:
    """What torch.compile made of a step, None where nothing was compiled."""
    names = ("graphs", "graph_breaks", "recompilations")
    counted = (None, None, None) if found is None else (found.graphs, len(found.graph_breaks), len(found.recompilations))
    return dict(zip(names, counted, strict=True))


def _gib(count: int | None) -> float | None:
    return None if count is None else count / 2**30


def _quality(quality: Quality) -> dict[str, Any]:
    percent = 1 if quality.lower_is_better else 100
    scores = [percent * value for value in quality.values(quality.metric)]
    points, base = quality.points, quality.requirements.base
    compared = base is not None and quality.reference is not None and quality.reference.precision == base
    return {
        "batch_size": quality.batch_size,
        "train_s": quality.train_seconds,
        "trained_per_second": statistics.median(_samples(quality, t.steps) / t.train_seconds for t in quality.trainings),
        "evaluation_s": quality.evaluation_seconds,
        "seeds": len(quality.trainings),
        "diverged": sum(t.diverged is not None for t in quality.trainings),
        "rows": quality.rows["train"],
        "weights": quality.weights.rstrip("/").rsplit("/", 1)[-1],
        "metric": quality.metric if quality.lower_is_better else f"{quality.metric} %",
        "score": _finite(statistics.fmean(scores)),
        "score_sd": statistics.stdev(scores) if len(scores) > 1 and all(map(math.isfinite, scores)) else None,
        "points_over_base" if compared else "points": points if points is not None and math.isfinite(points) else None,
        **{f"{METRIC}{name}": _number(quality.mean(name)) for name in quality.trainings[0].metrics},
    }


def _finite(value: float | None) -> float:
    return math.inf if value is None or math.isnan(value) else value


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _samples(quality: Quality, steps: int) -> float:
    """What `steps` steps see, in its unit; the last batch of an epoch may be smaller than the others."""
    seen = quality.rows["train"] * quality.units_per_sample
    return steps * seen / -(-quality.rows["train"] // quality.batch_size)


def _numerics(numerics: Numerics) -> dict[str, Any]:
    """Its batch is a part of the workload's, and not the case's."""
    names = ("loss_error", "gradient_error", "update_error", "flushed_share")
    return {name: _finite(getattr(numerics, name)) for name in names} | {
        "low_precision_share": numerics.low_precision_flops_share
    }


def _work(work: Work) -> dict[str, Any]:
    return {
        "batch_size": work.batch_size,
        "casts": work.casts,
        "launches": work.launches,
        "saved_gib": _gib(work.saved_bytes),
        "waits": _waits(work),
    }


def _waits(work: Work) -> str | None:
    """Where the host wants a value of a tensor: nobody says so on a CPU before a GPU refuses to capture it. Most such steps
    wait for the device there. An optimiser that counts its updates on the host does not, and cannot be captured either."""
    if not work.synchronisations:
        return None
    places = [place if count == 1 else f"{place}, {count} times" for place, count in Counter(work.synchronisations).items()]
    return f"the host wants a value in {'; '.join(places)}; no CUDA graph can hold that"


def _parity(parity: Parity, result: Result) -> Row:
    scores = {f"{whose}_pct": 100 * parity.scores[whose] if parity.scores else None for whose in ("ours", "theirs")}
    return {
        **keys(parity.case),
        "batch_size": parity.batch_size,
        "unit": parity.unit,
        "against": f"{parity.trainer} {parity.trainer_version}",
        "ours_ms": 1e3 * parity.ours.step_seconds,
        "theirs_ms": 1e3 * parity.theirs.step_seconds,
        "ratio": parity.ratio,
        **scores,
        "verdict": "ok" if result.passed else "failed",
    }


def _turns(race: Race, turns: Turns, result: Result) -> Row:
    """Of the pair's own case, which is ours."""
    return {
        **keys(turns.ours.case),
        "batch_size": race.batch_size,
        "unit": race.unit,
        "against": turns.theirs.called,
        "ours_ms": 1e3 * turns.ours.blocks.step_seconds,
        "theirs_ms": 1e3 * turns.theirs.blocks.step_seconds,
        "ratio": turns.ratio,
        "ours_pct": None,
        "theirs_pct": None,
        "verdict": "ok" if result.passed else "failed",
    }
