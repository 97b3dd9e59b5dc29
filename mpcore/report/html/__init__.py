"""Saved runs as one page that needs nothing else: no network, no other file. It is drawn in the browser, by the charting
library that lies beside this file."""

import math
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic_core import to_json

from mpcore.records import Result, Run
from mpcore.report.html.history import history
from mpcore.report.html.newest import Newest, groups, newest
from mpcore.report.html.panels import confusions, curves, errors, kernels, launches, memory, speedups
from mpcore.report.html.views import columns
from mpcore.report.rows import KEYS, rows

HERE = Path(__file__).parent
SCRIPTS = ("plotly-basic.min.js", "page.js")
CASES = {
    "workload": "workload",
    "precision": "mode",
    "hardware": "hardware",
    "execution": "as",
    "size": "size",
    "batch_size": "batch",
    "step_ms": "step ms",
    "per_second": "a second",
    "unit": "of",
    "over_fp32": "x fp32",
    "over_tf32": "x tf32",
    "peak_gib": "GiB",
    "ceiling_pct": "% of ceiling",
    "eager_ms": "eager ms",
    "joules": "J a step",
    "train_s": "train s",
    "metric": "metric",
    "score": "score",
    "points": "points over fp32",
    "gradient_error": "gradient error",
    "update_error": "error of 20 updates",
    "verdict": "gate",
    "since": "since accepted",
    "why": "what sets the time",
}
"""Columns of the frame that all reports draw from, and what they are called in the table of all cases."""


def page(runs: Sequence[Run], unreadable: Sequence[str] = ()) -> str:
    """unreadable: why files are not among the `runs`."""
    found = newest(runs)
    comparable = list(groups({hardware: of.results for hardware, of in found.items()}))
    latest = {hardware: of.comparable()[0] for hardware, of in found.items()}
    panels = [
        speedups(latest),
        memory(comparable),
        history(runs),
        *(panel(comparable) for panel in (curves, confusions, errors, kernels, launches)),
    ]
    shown = [panel for panel in panels if panel.views]
    template = _environment().get_template("page.html")
    return template.render(
        made=datetime.now(UTC).isoformat(" ", "minutes").removesuffix("+00:00") + " UTC",
        command=" ".join(["python -m mpcore", *sys.argv[1:]]),
        runs=runs,
        machines=[_machine(run, found[key].results) for key, run in _last(runs).items()],
        unreadable=unreadable,
        panels=shown,
        data=_embedded(
            {"panels": {p.name: p.as_data() for p in shown}, "tables": {"cases": _cases(found), "runs": _runs(runs)}}
        ),
        style=(HERE / "page.css").read_text(),
        scripts=[(HERE / name).read_text() for name in SCRIPTS],
    )


def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )


def _last(runs: Sequence[Run]) -> dict[str, Run]:
    """The newest run of each machine."""
    return {run.machine.hardware.key: run for run in sorted(runs, key=lambda run: run.datetime)}


def _machine(run: Run, results: Sequence[Result]) -> dict[str, Any]:
    """What is said of a machine at the top of the page: of its newest run, and of the newest result of each of its cases."""
    verdicts = [verdict for result in results for verdict in result.verdicts]
    return {
        "run": run,
        "cases": len({result.record.case.id for result in results}),
        "failed": [f"{test.test.split('::')[-1]}: {test.sentence}" for test in run.failed],
        "known": [f"{v.case}: {v.sentence}" for v in verdicts if v.known],
        "since": Counter(v.status for v in verdicts if v.compared),
        "loud": [
            f"{v.case}: {v.sentence}" for v in verdicts if v.compared and v.passed and v.status in ("better", "undecided")
        ],
    }


def _cases(results: Mapping[str, Newest]) -> dict[str, list[Any]]:
    frames = [rows(part, of.failed).assign(hardware=hardware) for hardware, of in results.items() for part in of.comparable()]
    frame = pd.concat(frames)
    frame = frame.sort_values(["hardware", *KEYS[:-1]], kind="stable").astype(object)
    records = frame.replace(math.inf, "not finite").where(frame.notna(), None).to_dict("records")
    table = columns([{str(name): value for name, value in row.items()} for row in records], list(CASES))
    return {CASES[name]: values for name, values in table.items() if any(value is not None for value in values)}


def _runs(runs: Sequence[Run]) -> dict[str, list[Any]]:
    found = [
        {
            "file": run.path,
            "measured": run.datetime[:16].replace("T", " "),
            "commit": (run.commit or "-")[:8],
            "hardware": run.machine.hardware.key,
            **{name: run.machine.software.get(name, "-") for name in ("torch", "cuda", "driver", "transformers")},
            "cases": len({result.record.case.id for result in run.results}),
            "failed": len(run.failed),
            "accepted": run.accepted.reason if run.accepted else "-",
            "command": run.command,
        }
        for run in runs
    ]
    return columns(found, list(found[0])) if found else {}


def _embedded(data: Any) -> str:
    """JSON that can stand inside a script element, whatever names hold."""
    return to_json(data, inf_nan_mode="null").decode().replace("<", "\\u003c")
