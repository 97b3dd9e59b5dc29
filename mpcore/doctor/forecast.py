"""What each case of a selection will be: run, in how many minutes and how much memory, or not run and why."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from mpcore import matrix
from mpcore.doctor.estimates import Estimates
from mpcore.records import Case, Selection
from mpcore.report.document import Document, Section, Table
from mpcore.report.text import counted, measured_at, tally
from mpcore.workloads import OwnStep, workloads

TESTS = ("speed", "numerics", "work", "accuracy")


@dataclass(frozen=True)
class Expected:
    """reason: why a case is not run, None where it is. seconds, peak_bytes: None where no accepted run tells."""

    case: Case
    reason: str | None
    seconds: float | None = None
    peak_bytes: int | None = None


def forecast(selection: Selection, device: torch.device, estimates: Estimates | None) -> list[Expected]:
    """In the order in which they are run."""
    return [_expected(case, reason, estimates) for case, reason in matrix.cases(selection, device)]


def document(expected: Sequence[Expected], estimates: Estimates | None, spoilers: Sequence[str], title: str) -> Document:
    """What would spoil figures first, then the cases of each workload, last what they take together."""
    found = (
        Section("would spoil figures:", sentences=spoilers)
        if spoilers
        else Section(lead="Nothing found that would spoil figures.")
    )
    reasons = [e.reason for e in expected if e.reason is not None]
    not_run = [Section("not run:", sentences=tally(reasons))] if reasons else []
    running = [e for e in expected if e.reason is None]
    return Document(title, [found, *_tables(running), *not_run, Section(lead=in_all(running, estimates))])


def in_all(running: Sequence[Expected], estimates: Estimates | None) -> str:
    """One sentence or two: cases, minutes, memory, and what the figures come from."""
    cases = counted(len(running), "case")
    known = [e for e in running if e.seconds is not None]
    if estimates is None or not known:
        return f"{cases} will run. No accepted run tells what they take: expected one that was measured since costs are stored."
    minutes = sum(e.seconds or 0.0 for e in known) / 60
    peaks = [e.peak_bytes for e in known if e.peak_bytes is not None]
    memory = f" and {max(peaks) / 2**30:.0f} GiB" if peaks else ""
    hardware = estimates.source.machine.hardware.name
    scaled = "" if estimates.speed == 1 else f", {estimates.speed:.2f} times as fast in large products"
    unknown = (
        f" What {counted(len(running) - len(known), 'case')} of these will take is not known."
        if len(known) < len(running)
        else ""
    )
    return (
        f"{cases} will run, in about {minutes:.0f} minutes{memory}. This is an estimate from what a run on {hardware} took at "
        f"{measured_at(estimates.source)}{scaled}.{unknown}"
    )


def _expected(case: Case, reason: str | None, estimates: Estimates | None) -> Expected:
    names = [f"{test}:{case.id}" for test in TESTS]
    if reason is not None or estimates is None:
        return Expected(case, reason)
    seconds = [found for name in names if (found := estimates.seconds(name)) is not None]
    peaks = [found for name in names if (found := estimates.peak_bytes(name)) is not None]
    return Expected(case, None, sum(seconds) if seconds else None, max(peaks, default=None))


def _tables(running: Sequence[Expected]) -> Iterator[Section]:
    for workload in dict.fromkeys(e.case.workload for e in running):
        own = [e for e in running if e.case.workload == workload]
        rows = [[e.case.precision, e.case.execution, _minutes(e.seconds), _gib(e.peak_bytes)] for e in own]
        kind = "own step" if issubclass(workloads[workload], OwnStep) else own[0].case.size
        yield Section(f"{workload} ({kind})", tables=[Table(["mode", "execution", "minutes", "GiB"], rows, "llrr")])


def _minutes(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds / 60:.1f}"


def _gib(peak_bytes: int | None) -> str:
    return "-" if peak_bytes is None else f"{peak_bytes / 2**30:.1f}"
