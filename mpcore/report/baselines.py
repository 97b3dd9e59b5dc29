"""What is accepted, and what a new run would change in it."""

import math
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence

import pandas as pd
import tabulate

from mpcore.gate import since
from mpcore.records import AnyRecord, Result, Run
from mpcore.report.against import differences
from mpcore.report.lines import counted
from mpcore.report.rows import KEYS, rows
from mpcore.report.tables import LEADING, table

Key = tuple[str, ...]

FIGURES = {"step_ms": ("step ms", "{:.2f}"), "peak_gib": ("GiB", "{:.2f}"), "score": ("{metric}", "{:.2f}")}
ERRORS = {"gradient_error": ("gradient error", "{:.1e}"), "update_error": ("error of 20 updates", "{:.1e}")}

SHOWN = 4
"""Names in a line, of what may be all cases."""


def changes(run: Run, accepted: Sequence[Run]) -> str:
    """A table for each workload: of each case what was accepted (the median, where there are several), what it is in `run`,
    and the change; then what cannot be compared, and what is gone and which software differs since the last accepted run."""
    cases = [since(result.record, accepted) for result in run.results]
    runs = max((len(of.accepted) for of in cases), default=0)
    old = [rows([Result(record=list(of.accepted.values())[i]) for of in cases if i < len(of.accepted)]) for i in range(runs)]
    frame = _with_changes(rows(run.results), _medians(old))
    blocks = [f"{run.path}, beside {counted(len(accepted), 'accepted run')}"]
    for (workload, size, execution, batch), part in frame.groupby(KEYS[:-1], sort=False):
        title = f"{workload} ({size}, {execution}{f', batch of {batch}' if batch else ''})"
        blocks.append("\n".join([title, *filter(None, (_table(part, figures) for figures in (FIGURES, ERRORS)))]))
    blocks += [f"{_name(of.record)} cannot be compared: {of.other}" for of in cases if of.other]
    blocks += [*_gone(accepted[-1], run), *_software(accepted[-1], run)] if accepted else []
    return "\n\n".join(blocks) + "\n"


def listing(baselines: Mapping[str, Sequence[Run]]) -> str:
    """All accepted runs, by the folder of their hardware."""
    blocks = []
    for key, runs in baselines.items():
        starts = counted(len({run.machine_start for run in runs}), "machine start")
        table = tabulate.tabulate([_listed(run) for run in runs], headers="keys", disable_numparse=True)
        blocks.append(f"{key}: {counted(len(runs), 'run')} from {starts}\n{table}")
        blocks += [f"{run.path} overrules {', '.join(_overruled(run))}" for run in runs if _overruled(run)]
        blocks += [f"{run.path} is all that is expected of {_some(_anew(run))}" for run in runs if _anew(run)]
    return "\n\n".join(blocks) + "\n"


def _listed(run: Run) -> dict[str, str]:
    return {
        "file": run.path.rsplit("/", 1)[-1],
        "measured": run.datetime[:16].replace("T", " "),
        "commit": (run.commit or "-")[:8],
        "torch": run.machine.software.get("torch", "-"),
        "GPU": (run.machine.hardware.uuid or "-")[:8],
        "cases": str(len({result.record.case.id for result in run.results})),
        "reason": run.accepted.reason if run.accepted else "-",
    }


def _overruled(run: Run) -> list[str]:
    return [test.split("::")[-1] for test in run.accepted.overruled] if run.accepted else []


def _anew(run: Run) -> Sequence[str]:
    return run.accepted.anew if run.accepted else ()


def _some(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= SHOWN else f"{', '.join(names[:SHOWN])} and {len(names) - SHOWN} more"


def _name(record: AnyRecord) -> str:
    return f"{record.kind} of {record.case.id}"


def _medians(frames: Sequence[pd.DataFrame]) -> dict[tuple[Key, str], float]:
    found = defaultdict(list)
    for frame in frames:
        for row in frame.to_dict("records"):
            for figure in (*FIGURES, *ERRORS):
                if pd.notna(row[figure]):
                    found[tuple(row[k] for k in KEYS), figure].append(row[figure])
    return {place: statistics.median(values) for place, values in found.items()}


def _with_changes(frame: pd.DataFrame, before: Mapping[tuple[Key, str], float]) -> pd.DataFrame:
    keys = [tuple(key) for key in frame[KEYS].itertuples(index=False)]
    for figure in (*FIGURES, *ERRORS):
        frame[f"{figure} before"] = [before.get((key, figure)) for key in keys]
        frame[f"{figure} change"] = [
            _change(now, old) for now, old in zip(frame[figure], frame[f"{figure} before"], strict=True)
        ]
    return frame


def _change(now: float | None, before: float | None) -> str | None:
    if pd.isna(now):
        return None
    if pd.isna(before):
        return "new"
    return f"{100 * (now / before - 1):+.1f} %" if before and math.isfinite(now) and math.isfinite(before) else None


def _table(part: pd.DataFrame, figures: Mapping[str, tuple[str, str]]) -> str:
    """Empty where none of the figures was measured."""
    columns: dict[str, tuple[str, str]] = {}
    for figure, (heading, form) in figures.items():
        if part[f"{figure} before"].notna().any():
            columns |= {f"{figure} before": (heading, form), figure: ("now", form), f"{figure} change": ("", "{}")}
        elif part[figure].notna().any():
            columns[figure] = (heading, form)
    return table(part, LEADING | columns, "simple") if columns else ""


def _gone(before: Run, run: Run) -> list[str]:
    measured = {_name(result.record) for result in run.results}
    gone = [name for result in before.results if (name := _name(result.record)) not in measured]
    return [f"no longer there: {', '.join(gone)}"] if gone else []


def _software(before: Run, run: Run) -> list[str]:
    return [f"software: {software}"] if (software := differences(before, run)) else []
