"""What changed since the accepted runs, but for what fails: that stands with all that fails."""

from collections.abc import Mapping

from mpcore.records import Run, Status
from mpcore.report.lines import counted, listed, wrapped
from mpcore.report.outcome import Outcome

COUNTED: tuple[Status, ...] = ("same", "better", "worse", "undecided")
STRICTLY = "unless --mp-strict is given"


def against(outcome: Outcome) -> str:
    """For a terminal; empty where nothing was to be compared."""
    if not outcome.folder:
        return ""
    if not outcome.accepted:
        return wrapped(f"new: nothing is compared, {outcome.folder} holds no accepted run")
    runs = counted(len(outcome.accepted), "accepted run")
    lines = [wrapped(f"against {runs} of {outcome.folder}: {counts(outcome) or 'nothing'}")]
    if software := differences(outcome.accepted[-1], outcome.run):
        lines.append(wrapped(f"software: {software}"))
    for title, sentences in groups(outcome).items():
        lines += listed(f"{title}:", sentences)
    return "\n".join(lines)


def counts(outcome: Outcome) -> str:
    """Of figures, by status; empty where all is new."""
    found = [v.status for result in outcome.run.results for v in result.verdicts if v.compared]
    return ", ".join(f"{found.count(status)} {status}" for status in COUNTED if status in found)


def groups(outcome: Outcome) -> dict[str, list[str]]:
    """Sentences by title, where there are any, of what does not fail."""
    if not outcome.accepted:
        return {}
    common = outcome.common
    shown = [v for v in outcome.verdicts if v.compared and not outcome.fails(v)]
    found = {
        "better than accepted runs, which accept --anew CASES would hold": [v.sentence for v in shown if v.status == "better"],
        f"undecided against accepted runs, which passes {STRICTLY}": [v.sentence for v in shown if v.status == "undecided"],
        "all cases together": [common.sentence] if common and common.status == "same" else [],
        "new, and compared with nothing": list(dict.fromkeys(f"{v.kind} of {v.case}" for v in shown if v.status == "new")),
        f"gone, though the last accepted run has it, which passes {STRICTLY}": [] if outcome.strict else list(outcome.gone),
    }
    return {title: sentences for title, sentences in found.items() if sentences}


def differences(before: Run, now: Run) -> str:
    """In software, in words."""
    old: Mapping[str, str] = before.machine.software
    new: Mapping[str, str] = now.machine.software
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    return ", ".join(f"{name} {old.get(name, 'none')} -> {new.get(name, 'none')}" for name in names)
