"""What changed since the accepted runs, without what fails: that stands with all that fails."""

from mpcore.gate.regressions import STEP_TIME
from mpcore.records import RegressionStatus, Speed
from mpcore.report.document import Section
from mpcore.report.summary import SessionSummary
from mpcore.report.text import counted, software_changes

STRICTLY = "which passes unless --mp-strict is given"
UNTIMED = "the times of steps on a CPU are not compared, for others share it: --mp-margin step-time=10 allows them 10 % more"
TITLES: dict[RegressionStatus, str] = {
    "better": "better than accepted runs, which accept --reset CASES would hold",
    "changed": f"changed since accepted runs, {STRICTLY}",
    "undecided": f"undecided against accepted runs, {STRICTLY}",
    "incomparable": "not comparable with accepted runs",
}


def regressions(summary: SessionSummary) -> list[Section]:
    """What it was compared with, how many figures are same, better and so on, and then what changed."""
    if not summary.folder:
        return []
    if not summary.accepted:
        return [Section(lead=f"new: nothing is compared, {summary.folder} holds no accepted run")]
    runs = counted(len(summary.accepted), "accepted run")
    title = f"against {runs} of {summary.folder}: {summary.counts or 'nothing'}"
    software = software_since(summary)
    said = [*([f"software: {software}"] if software else []), *([UNTIMED] if _untimed(summary) else [])]
    return [Section(title, sentences=said), *changed(summary, end=":")]


def changed(summary: SessionSummary, end: str = "") -> list[Section]:
    """A section for each way in which something changed. end: of their titles."""
    return [Section(title + end, sentences=said) for title, said in _groups(summary).items() if said]


def software_since(summary: SessionSummary) -> str:
    """What differs from the last accepted run, in words."""
    if not summary.accepted:
        return ""
    return software_changes(summary.accepted[-1].machine.software, summary.run.machine.software)


def _untimed(summary: SessionSummary) -> bool:
    """Whether steps of a CPU have accepted runs, and their times are compared with none of these."""
    timed = {regression.case for regression in summary.regressions if regression.metric == STEP_TIME}
    speeds = {result.record.case.id for result in summary.run.results if isinstance(result.record, Speed)}
    known = {result.record.case.id for run in summary.accepted for result in run.results if isinstance(result.record, Speed)}
    return summary.run.machine.hardware.device == "cpu" and bool(speeds & known - timed)


def _groups(summary: SessionSummary) -> dict[str, list[str]]:
    """Sentences by title."""
    if not summary.accepted:
        return {}
    common = summary.run.common
    shown = [r for r in (*summary.regressions, *([common] if common else [])) if not summary.fails(r)]
    found = {title: [r.sentence for r in shown if r.status == status] for status, title in TITLES.items()}
    new = list(dict.fromkeys(f"{r.kind} of {r.case}" for r in shown if r.status == "new"))
    return found | {
        "all cases together": [common.sentence] if common and common.status == "same" else [],
        "new, and compared with nothing": new,
        f"gone, though the last accepted run has it, {STRICTLY}": [] if summary.strict else list(summary.gone),
    }
