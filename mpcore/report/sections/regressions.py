"""What changed since the accepted runs, without what fails: that stands with all that fails."""

from collections.abc import Iterator

from mpcore.gate.regressions import ACCEPT, MAKES_ACCEPTED, STEP_TIME
from mpcore.records import AnyRecord, Case, Regression, RegressionStatus, Speed
from mpcore.report.alike import cases_of, named_once, said_once
from mpcore.report.document import Section
from mpcore.report.summary import SessionSummary
from mpcore.report.text import counted, software_changes
from mpcore.store import accepted_last

LET_GO = "`accept FILE --reset CASES` lets go of what is no longer measured"
STRICTLY = "which passes unless --mp-strict is given"
UNTIMED = "the times of steps on a CPU are not compared, for others share it: --mp-margin step-time=10 allows them 10 % more"
ACCEPTED = f"`{ACCEPT}` makes this run an accepted one"
TITLES: dict[RegressionStatus, str] = {
    "better": "better than accepted runs, which accept --reset CASES would hold",
    "changed": f"changed since accepted runs, {STRICTLY}",
    "undecided": f"undecided against accepted runs, {STRICTLY}",
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
    cases = cases_of(summary.run)
    common = summary.run.common
    together = {common.status: [common.sentence]} if common and not summary.fails(common) else {}
    found = {
        title: [*said_once(_figures(summary, status), cases), *together.get(status, [])] for status, title in TITLES.items()
    }
    other = named_once(((record, _why(record, r)) for record, r in _judged(summary, "incomparable")), cases)
    gone = named_once(summary.gone, cases_of(*accepted_last(summary.accepted)))
    return found | {
        "not comparable with accepted runs": [*other, *([ACCEPTED] if other else [])],
        "all cases together": together.get("same", []),
        "new, and compared with nothing": named_once(((record, "") for record, _ in _judged(summary, "new")), cases),
        f"gone, though an accepted run has it, {STRICTLY}": [*gone, LET_GO] if gone and not summary.strict else [],
        "gone": [LET_GO] if gone and summary.strict else [],  # which the failures name
    }


def _judged(summary: SessionSummary, status: RegressionStatus) -> Iterator[tuple[AnyRecord, Regression]]:
    """What is so of cases, but for what fails."""
    for result in summary.run.results:
        yield from ((result.record, r) for r in result.regressions if r.status == status and not summary.fails(r))


def _figures(summary: SessionSummary, status: RegressionStatus) -> Iterator[tuple[Case, str, str]]:
    for record, regression in _judged(summary, status):
        yield record.case, regression.metric, regression.sentence


def _why(record: AnyRecord, regression: Regression) -> str:
    """Without its subject and its mode, and without what makes it comparable."""
    why = regression.sentence.removeprefix(f"{record.case.subject}: {record.case.precision}: ")
    return why.removesuffix(f". {MAKES_ACCEPTED}")
