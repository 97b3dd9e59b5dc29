"""Base against head: which they are, a row for each case, and a sentence for all that is not the same. Or what changed of their
work."""

import shlex
import statistics

from mpcore.records import WORKING_TREE, Comparison, PairedCase, Regression, Revision
from mpcore.report.document import Section, Table
from mpcore.report.sections.changed_work import changed_work
from mpcore.report.sections.next_steps import options_of
from mpcore.report.text import counted, software_changes

HEADINGS = ("case", "base ms", "head ms", "change %", "mem. %", "status")


def base_and_head(comparison: Comparison) -> list[Section]:
    """What was compared, a table of the cases, and what is not the same."""
    base, head = comparison.base, comparison.head
    software = software_changes(base.machine.software, head.machine.software)
    order = f"order of seed {comparison.seed}" if comparison.by == "time" else f"by {comparison.by}"
    where = f"on {head.machine.hardware.name}, {order}"
    sides = [f"base: {_revision(base)}", f"head: {_revision(head)}", where, *([f"software: {software}"] if software else [])]
    if comparison.interrupted is not None:
        open_ = sum(case.open for case in comparison.cases)
        sides.append(f"interrupted, with {open_} of {counted(len(comparison.cases), 'case')} still to be measured")
    found = [Section(sentences=sides), *SECTIONS[comparison.by](comparison)]
    found += reproduced(comparison)
    return [section for section in found if section.lead or section.tables or section.sentences]


def reproduced(comparison: Comparison) -> list[Section]:
    """What measures once more what is worse or blind; nothing where nothing is."""
    red = [case.case for case in comparison.cases if any(r.status in ("worse", "blind") for r in case.regressions)]
    if not red:
        return []
    base, head = comparison.base, comparison.head
    line = ["python -m mpcore ab", shlex.quote(_named(base)), *([shlex.quote(_named(head))] if _named(head) else [])]
    line += ["--work-only"] if comparison.by == "work" else []
    for side, of, other in (("base", base, head), ("head", head, base)):
        line += [f"--{side}-python {shlex.quote(of.python)}"] if of.python != other.python or of.command else []
        line += [f"--{side}-command {shlex.quote(shlex.join(of.command))}"] if of.command else []
    line += [shlex.quote(flag) for flag in comparison.flags]
    return [Section(lead="Once more:", commands=[" ".join([*line, *of]) for of in options_of(red, comparison.selection)])]


def _named(revision: Revision) -> str:
    """As it can be typed, wherever a branch is by then; "" for a working tree with changes, which needs no name."""
    return (revision.commit or "")[:12] or ("" if revision.name == WORKING_TREE else revision.name)


def _code(comparison: Comparison) -> list[Section]:
    """What was loaded is the same on both sides."""
    said = comparison.cases[0].regressions[0].sentence.partition(": ")[2]
    return [Section(lead=f"{said}. No timing is needed of {counted(len(comparison.cases), 'case')}.")]


def _times(comparison: Comparison) -> list[Section]:
    timed = [case for case in comparison.cases if case.regressions[0].kind != "code"]
    table = Table(HEADINGS, [_row(case) for case in timed], "lrrrrl")
    return [Section(tables=[table] if timed else []), Section(sentences=[*_untimed(comparison), *_told(comparison)])]


def _untimed(comparison: Comparison) -> list[str]:
    """Cases that needed no timing, and what the machine makes of those that tried it."""
    found = [case.regressions[0] for case in comparison.cases if case.regressions[0].kind == "code"]
    tried = [abs(regression.ratio - 1) for regression in found if regression.ratio]
    if not found:
        return []
    machine = f"; {len(tried)} of them, timed to try the machine, differ by up to {100 * max(tried):.2f} %" if tried else ""
    return [f"not timed: {counted(len(found), 'case')}, the same in work, graph and code{machine}"]


def _row(case: PairedCase) -> list[str]:
    time, *others = case.regressions
    statuses = ", ".join([time.status, *(f"{r.metric} {r.status}" for r in others if r.status != "same")])
    memory = [r for r in others if r.metric == "graph memory"]
    if not case.pairs:
        return [case.case.id, "-", "-", "-", "-", statuses]
    seconds = ([pair.base_seconds for pair in case.pairs], [pair.head_seconds for pair in case.pairs])
    base, head = (f"{1000 * statistics.median(side):.4g}" for side in seconds)
    return [case.case.id, base, head, _change(time), _per_cent(memory[0].ratio) if memory else "-", statuses]


def _change(time: Regression) -> str:
    """With half the width of its interval, in the same per cent."""
    low, high = time.interval or (None, None)
    if time.ratio is None or not low or not high:
        return "-"
    return f"{_per_cent(time.ratio)} ± {100 * (high - low) / 2:.2f}"


def _per_cent(ratio: float | None) -> str:
    return "-" if ratio is None else f"{100 * (ratio - 1):+.2f}"


def _revision(revision: Revision) -> str:
    commit = f" at {revision.commit[:12]}" if revision.commit else ""
    slowdown = f", steps made {revision.slowdown:g} times as long" if revision.slowdown != 1 else ""
    return f"{revision.name}{commit}, {' '.join((*revision.command, revision.python))}{slowdown}"


def _told(comparison: Comparison) -> list[str]:
    """What is not the same, pairs that were lost, and cases that nothing is known about."""
    found = [regression for case in comparison.cases for regression in case.regressions]
    return [
        *(f"{regression.status}: {regression.sentence}" for regression in found if regression.status != "same"),
        *(f"lost: {_lost(case)}" for case in comparison.cases if case.lost),
        *(f"failed: {case}: {sentence}" for case, sentence in comparison.failures.items()),
        *(f"not run: {case}: {sentence}" for case, sentence in comparison.skipped.items()),
    ]


def _lost(case: PairedCase) -> str:
    pairs = "a pair is" if len(case.lost) == 1 else f"{len(case.lost)} pairs are"
    return f"{case.case.id}: {pairs} not whole, {case.lost[-1]}"


SECTIONS = {"time": _times, "work": changed_work, "code": _code}
