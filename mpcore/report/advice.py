"""Where a session was saved, and what to type next."""

import re
import shlex
from pathlib import PurePath

from mpcore.records import Case, Selection, Speed
from mpcore.report.outcome import Outcome

NUMBERED = re.compile(r"(\d{4,}_)[\w.+-]+\.json")
TIMED = ("step time", "eager time", "graph memory")
"""What pairs of processes measure."""


def advice(outcome: Outcome) -> str:
    """Empty where nothing was measured."""
    if not outcome.run.results:
        return ""
    lines = [f"saved: {path}" for path in outcome.saved]
    if not lines:
        lines = ["nothing was saved: --benchmark-autosave saves a run in .benchmarks, --benchmark-json FILE where you like"]
    typed = commands(outcome)
    return "\n".join([*lines, *(["next:", *(f"  {command}" for command in typed)] if typed else [])])


def commands(outcome: Outcome) -> list[str]:
    found = []
    if outcome.saved:
        file = _typed(outcome.saved[0])
        found.append(f"python -m mpcore report {file} -o report.html")
        if _acceptable(outcome):
            found.append(f"python -m mpcore accept {file} --reason TEXT")
    cases = _doubtful(outcome)
    if cases:
        base = (outcome.accepted[-1].commit or "BASE")[:12]
        found.append(" ".join(["python -m mpcore ab", base, *_options(cases, outcome.selection)]))
    return found


def _typed(path: str) -> str:
    """As short as a shell lets it be: the names in pytest-benchmark's folders begin with numbers of their own."""
    name = NUMBERED.fullmatch(PurePath(path).name)
    return f"{shlex.quote(str(PurePath(path).parent))}/{name[1]}*.json" if name else shlex.quote(path)


def _acceptable(outcome: Outcome) -> bool:
    """A whole session without a failure, in which something is better or new."""
    statuses = {v.status for v in outcome.verdicts if v.compared}
    return not outcome.failures and not outcome.missed and bool({"better", "new"} & statuses)


def _doubtful(outcome: Outcome) -> list[Case]:
    """What pairs of processes would see sharper: what got worse, or else may have; all graphs, where they did together."""
    speeds = [(r.record.case, r.verdicts) for r in outcome.run.results if isinstance(r.record, Speed)]
    if outcome.common and outcome.common.status == "worse":
        return [case for case, _ in speeds if case.execution == "graph"]
    compared = [(case, v) for case, verdicts in speeds for v in verdicts if v.compared and v.metric in TIMED]
    worse = [(case, v) for case, v in compared if v.status == "worse"]
    return [
        case.model_copy(update={"execution": "eager"}) if v.metric == "eager time" else case
        for case, v in worse or [(case, v) for case, v in compared if v.status == "undecided"]
    ]


def _options(cases: list[Case], selection: Selection) -> list[str]:
    """That name the cases, with what else the session was told of where they come from."""
    named = {
        "workload": [case.workload for case in cases],
        "precision": [case.precision for case in cases],
        "execution": [case.execution for case in cases],
        "batch": [str(case.batch_size) for case in cases if case.batch_size],
    }
    values: list[tuple[str, str | None]] = [(name, ",".join(dict.fromkeys(texts))) for name, texts in named.items()]
    values += [("size", selection.size), ("device", selection.device), ("data", selection.data)]
    values += [("load", path) for path in selection.load]
    return [f"--mp-{name} {shlex.quote(value)}" for name, value in values if value]
