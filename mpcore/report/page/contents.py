"""The page: what it says at its top, its tables, and its panels. The charting library beside this file draws it in the
browser."""

import math
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from mpcore.records import Result, Run
from mpcore.report.columns import COLUMNS
from mpcore.report.page.changes import largest_changes
from mpcore.report.page.history import history
from mpcore.report.page.newest import Newest, groups, newest
from mpcore.report.page.panels import confusions, curves, errors, kernels, launches, memory, races, speedups, tensors
from mpcore.report.page.scaling import scaling
from mpcore.report.page.views import columns
from mpcore.report.render.html import environment
from mpcore.report.rows import KEYS, rows
from mpcore.report.text import file_name, measured_at, named_commit, short_test

HERE = Path(__file__).parent
MOST_WORDS = 12
"""Of the command that made the page."""
SCRIPTS = ("plotly-basic.min.js", "page.js")
CASES = (
    *("workload", "precision", "hardware", "execution", "size", "batch_size", "step_ms", "per_second", "unit", "over_fp32"),
    *(
        "over_tf32",
        "over_base",
        "over_graph",
        "compile_s",
        "peak_gib",
        "ceiling_pct",
        "eager_ms",
        "joules",
        "casts",
        "launches",
        "saved_gib",
        "train_s",
        "metric",
        "score",
        "points",
        "points_over_base",
        "gradient_error",
    ),
    *("update_error", "verdict", "regression", "why", "compiled"),
)
"""The figures of the table of all cases."""
OWN = {
    "per_second": "a second",
    "unit": "of",
    "score": "score",
    "regression": "since accepted",
    "why": "what sets the time",
    "compiled": "how it was compiled",
}
HEADINGS = {name: column.heading for name, column in COLUMNS.items()} | OWN


def page(runs: Sequence[Run], unreadable: Sequence[str] = ()) -> str:
    """unreadable: why files are not among the `runs`."""
    found = newest(runs)
    comparable = list(groups({hardware: of.results for hardware, of in found.items()}))
    latest = {hardware: of.comparable()[0] for hardware, of in found.items()}
    panels = [
        speedups(latest),
        races(latest),
        scaling(latest),
        memory(comparable),
        history(runs),
        *(panel(comparable) for panel in (curves, confusions, errors, tensors, kernels, launches)),
    ]
    shown = [panel for panel in panels if panel.views]
    data = {
        "panels": {panel.name: panel.as_data() for panel in shown},
        "tables": {"cases": cases_table(found), "runs": _runs_table(runs)},
    }
    return (
        environment(HERE)
        .get_template("page.html")
        .render(
            made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            command=_shortened(["python -m mpcore", *sys.argv[1:]]),
            runs=runs,
            machines=[_machine(run, found[key].results) for key, run in _last(runs).items()],
            changes=largest_changes({hardware: of.results for hardware, of in found.items()}),
            unreadable=unreadable,
            panels=shown,
            data=_embedded(data),
            style=(HERE / "page.css").read_text(),
            scripts=[(HERE / name).read_text() for name in SCRIPTS],
        )
    )


def cases_table(results: Mapping[str, Newest]) -> dict[str, list[Any]]:
    """All cases of all machines, by column, without columns that hold nothing."""
    found = [
        {**row, "hardware": hardware}
        for hardware, of in results.items()
        for part in of.comparable()
        for row in rows(part, of.failed)
    ]
    found.sort(key=lambda row: (row["hardware"], *(row[name] for name in KEYS[:-1])))
    said = [{name: "not finite" if value == math.inf else value for name, value in row.items()} for row in found]
    table = columns(said, CASES)
    return {HEADINGS.get(name, name): values for name, values in table.items() if any(value is not None for value in values)}


def _last(runs: Sequence[Run]) -> dict[str, Run]:
    """The newest run of each machine."""
    return {run.machine.hardware.key: run for run in sorted(runs, key=lambda run: run.datetime)}


def _machine(run: Run, results: Sequence[Result]) -> dict[str, Any]:
    """What is said of a machine at the top of the page, from its newest run and the newest result of each of its cases."""
    checks = [check for result in results for check in result.checks]
    regressions = [regression for result in results for regression in result.regressions]
    return {
        "name": run.machine.hardware.name,
        "file": file_name(run),
        "measured": measured_at(run),
        "commit": named_commit(run, "unknown"),
        "cases": len({result.record.case.id for result in results}),
        "failed": [f"{short_test(test)}: {test.sentence}" for test in run.failed],
        "known": [f"{check.case}: {check.sentence}" for check in checks if check.status == "expected_failure"],
        "since": Counter(regression.status for regression in regressions),
        "loud": [f"{r.case}: {r.sentence}" for r in regressions if r.status in ("better", "changed", "undecided")],
    }


def _shortened(words: Sequence[str]) -> str:
    """A command; of many files the first and the last."""
    left_out = len(words) - MOST_WORDS
    return " ".join(words if left_out <= 0 else [*words[: MOST_WORDS // 2], f"({left_out} more)", *words[-(MOST_WORDS // 2) :]])


def _runs_table(runs: Sequence[Run]) -> dict[str, list[Any]]:
    """The newest first. What may be long stands last, or a phone would show nothing else."""
    found = [
        {
            "measured": measured_at(run),
            "commit": named_commit(run),
            "hardware": run.machine.hardware.key,
            **{name: run.machine.software.get(name, "-") for name in ("torch", "cuda", "driver", "transformers")},
            "cases": len({result.record.case.id for result in run.results}),
            "failed": len(run.failed),
            "accepted": run.accepted.reason if run.accepted else "-",
            "file": run.path,
            "command": run.command,
        }
        for run in sorted(runs, key=lambda run: run.datetime, reverse=True)
    ]
    return columns(found, list(found[0])) if found else {}


def _embedded(data: Any) -> str:
    """JSON that can stand inside a script element, whatever names hold."""
    return to_json(data, inf_nan_mode="null").decode().replace("<", "\\u003c")
