"""Where a session was saved, and what to type next."""

import re
import shlex
from collections.abc import Sequence
from pathlib import PurePath

from mpcore.records import OWN_STRATEGY, OWN_TRAINER, Case, Run, Selection, Speed
from mpcore.report.document import Section
from mpcore.report.summary import SessionSummary

NUMBERED = re.compile(r"(\d{4,}_)[\w.+-]+\.json")
TIMED = ("step time", "graph memory")
"""What pairs of processes measure."""
UNSAVED = "nothing was saved: --benchmark-autosave saves a run in .benchmarks, --benchmark-json FILE where you like"


def next_steps(summary: SessionSummary) -> list[Section]:
    """Empty where nothing was measured."""
    if not summary.run.results:
        return []
    saved = [f"saved: {path}" for path in summary.saved] or [UNSAVED]
    commands = _commands(summary)
    return [Section(sentences=[*saved, *(["next:"] if commands else [])], commands=commands)]


def _commands(summary: SessionSummary) -> list[str]:
    found = []
    if summary.saved:
        file = _typed(summary.saved[0])
        found.append(f"python -m mpcore report {file} -o report.html")
        if _acceptable(summary):
            found.append(f"python -m mpcore accept {file} --reason TEXT")
    if cases := _doubtful(summary):
        found.append(ab_command(cases, summary.accepted, summary.selection))
    return found


def ab_command(cases: Sequence[Case], accepted: Sequence[Run], selection: Selection) -> str:
    """What measures cases in pairs with the last accepted commit."""
    base = next((run.commit[:12] for run in accepted[-1:] if run.commit), "BASE")
    return " ".join(["python -m mpcore ab", base, *options_of(list(cases), selection)])


def _typed(path: str) -> str:
    """As short as a shell lets it be: the names in pytest-benchmark's folders begin with numbers of their own."""
    name = NUMBERED.fullmatch(PurePath(path).name)
    return f"{shlex.quote(str(PurePath(path).parent))}/{name[1]}*.json" if name else shlex.quote(path)


def _acceptable(summary: SessionSummary) -> bool:
    """A whole session without a failure, in which something is better or new."""
    statuses = {regression.status for regression in summary.regressions}
    return not summary.failures and not summary.missed and bool({"better", "new", "incomparable"} & statuses)


def _doubtful(summary: SessionSummary) -> list[Case]:
    """What pairs of processes would see sharper: what got worse, or else may have; all graphs, where they did together."""
    speeds = [(r.record.case, r.regressions) for r in summary.run.results if isinstance(r.record, Speed)]
    if summary.run.common and summary.run.common.status == "worse":
        return [case for case, _ in speeds if case.captured]
    timed = [(case, r.status) for case, regressions in speeds for r in regressions if r.metric in TIMED]
    found = {status: [case for case, of in timed if of == status] for status in ("worse", "undecided")}
    return found["worse"] or found["undecided"]


def options_of(cases: list[Case], selection: Selection) -> list[str]:
    """That name the cases, with what else the session was told of where they come from."""
    named = {
        "workload": [case.workload for case in cases],
        "precision": [case.precision for case in cases],
        "trainer": [case.trainer for case in cases] if {case.trainer for case in cases} != {OWN_TRAINER} else [],
        "execution": [case.execution for case in cases],
        "gpus": [str(case.gpus) for case in cases] if {case.gpus for case in cases} != {1} else [],
        "strategy": [case.strategy for case in cases if case.strategy not in ("single", OWN_STRATEGY)],
        "batch": [str(case.batch_size) for case in cases if case.batch_size and (case.size != "fit" or selection.batch_sizes)],
    }
    values: list[tuple[str, str | None]] = [(name, ",".join(dict.fromkeys(texts))) for name, texts in named.items()]
    values += [("size", selection.size), ("device", selection.device), ("data", selection.data)]
    values += [("keep-fp32", ",".join(selection.keep_fp32))]
    values += [("load", path) for path in selection.load]
    return [f"--mp-{name} {shlex.quote(value)}" for name, value in values if value]
