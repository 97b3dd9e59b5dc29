"""What each case of a selection will be: run, in how many minutes and how much memory, or not run and why."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from mpcore import matrix
from mpcore.doctor.ceilings import COPIES, FP64
from mpcore.doctor.choice import KINDS, Planned, chosen, untold_trainings
from mpcore.doctor.estimates import GIB, Card, Estimates
from mpcore.records import Case, Selection
from mpcore.report.alike import joined
from mpcore.report.document import Document, Section, Table
from mpcore.report.text import counted, measured_at, tally
from mpcore.workloads import OwnStep, Workload, workloads

LEFT_OUT = "left out: more than --mp-minutes allows"


@dataclass(frozen=True)
class Expected:
    """reason: why a case is not run, None where it is. seconds, peak_bytes, needed_bytes: None where no accepted run tells.
    peak_bytes: what it takes of the memory. needed_bytes: about what it needs. untold: whether it is trained besides, for
    a time that none tells."""

    case: Case
    reason: str | None
    seconds: float | None = None
    peak_bytes: int | None = None
    needed_bytes: int | None = None
    untold: bool = False


def forecast(
    selection: Selection,
    device: torch.device,
    estimates: Estimates | None,
    minutes: float | None = None,
    card: Card | None = None,
) -> list[Expected]:
    """In the order in which they are run. minutes: within which the cases of most worth are chosen, where it is known what they
    take. card: None for a CPU."""
    cases = list(matrix.cases(selection, device))
    if estimates is None:
        return [Expected(case, reason) for case, reason in cases]
    tests = {case: _tests(case, estimates) for case, reason in cases if reason is None}
    if minutes is not None:
        kept = chosen([test for own in tests.values() for test in own], estimates, minutes)
        tests = {case: [test for test in own if test in kept] for case, own in tests.items()}
    expected = [_expected(case, reason, tests.get(case, []), estimates, card) for case, reason in cases]
    if minutes is not None:
        return expected
    trained = {case for case, _ in matrix.cases(selection, device, compiled=()) if not workloads[case.workload].long_training}
    untold = {case for case in trained if estimates.seconds("accuracy", case) is None}
    return [replace(e, untold=e.case in untold) for e in expected]


def document(
    expected: Sequence[Expected],
    estimates: Estimates | None,
    spoilers: Sequence[str],
    title: str,
    card: Card | None = None,
) -> Document:
    """What would spoil figures first, then the cases of each workload, last what they take together. card: None for a CPU."""
    found = (
        Section("would spoil figures:", sentences=spoilers)
        if spoilers
        else Section(lead="Nothing found that would spoil figures.")
    )
    reasons = [e.reason for e in expected if e.reason is not None]
    not_run = [Section("not run:", sentences=tally(reasons))] if reasons else []
    running = [e for e in expected if e.reason is None]
    cases = list(_tables(running)) if any(_is_known(e) for e in running) else _named(running)
    too_large = [Section(lead=said)] if (said := _too_large(running, card)) else []
    return Document(title, [found, *cases, *not_run, *too_large, Section(lead=in_all(running, estimates))])


def _too_large(running: Sequence[Expected], card: Card | None) -> str | None:
    """None where all fit, as far as accepted runs tell."""
    larger = [e.case for e in running if card is not None and (e.needed_bytes or 0) > card.memory_bytes]
    if card is None or not larger:
        return None
    names = joined(list(dict.fromkeys(case.workload for case in larger)))
    fits = " --mp-size fit chooses batches that fit." if any(_is_smaller_in_fit(case, card) for case in larger) else ""
    return (
        f"{card.memory_bytes / GIB:.0f} GiB are too little for {counted(len(larger), 'case')} of {names}, as accepted runs "
        f"tell. A case that finds too little is skipped.{fits}"
    )


def _is_smaller_in_fit(case: Case, card: Card) -> bool:
    entry = workloads[case.workload]
    if not issubclass(entry, Workload) or case.size != "full":
        return False
    return entry.fitting_batch(card.memory_class) < (case.batch_size or entry.recipes["full"].batch_size)


def in_all(running: Sequence[Expected], estimates: Estimates | None) -> str:
    """In sentences: cases, minutes, memory, what the figures come from, and what they are scaled by."""
    cases = counted(len(running), "case")
    known = [e for e in running if e.seconds is not None]
    if not running:
        return "No case will run."
    if estimates is None or not known:
        return f"{cases} will run. No accepted run tells what they take."
    minutes = sum(e.seconds or 0.0 for e in known) / 60
    peaks = [e.peak_bytes for e in known if e.peak_bytes is not None]
    memory = f" and {max(peaks) / GIB:.0f} GiB" if peaks else ""
    hardware = estimates.newest.machine.hardware.name
    unknown = (
        f" What {counted(len(running) - len(known), 'case')} of these will take is not known."
        if len(known) < len(running)
        else ""
    )
    untold = untold_trainings([Planned("accuracy", e.case) for e in running if e.untold], estimates)
    without = f" How long {untold} will be trained is not known, and not in it." if untold else ""
    return (
        f"{cases} will run, in about {minutes:.0f} minutes{memory}. This is an estimate from what accepted runs on {hardware} "
        f"took, the newest at {measured_at(estimates.newest)}.{_scaled(estimates)}{unknown}{without}"
    )


def in_short(tests: Sequence[Planned], estimates: Estimates, card: Card | None) -> str | None:
    """The same in one line, and which of the tests are not in it. None where none of them is known. card: None for a CPU."""
    seconds = [estimates.seconds(*test) for test in tests]
    known = [second for second in seconds if second is not None]
    if not known:
        return None
    trainings = untold_trainings(tests, estimates)
    others = sum(second is None and test.kind != "accuracy" for test, second in zip(tests, seconds, strict=True))
    untold = [f"the trainings of {trainings}" if trainings else "", counted(others, "test") if others else ""]
    without = f", without {' and '.join(filter(None, untold))}" if any(untold) else ""
    peaks = [peak for test in tests if (peak := estimates.peak_bytes(*test, card)) is not None]
    memory = f" and {max(peaks) / GIB:.0f} GiB" if peaks else ""
    return f"about {sum(known) / 60:.0f} minutes{memory}, as accepted runs tell{without}"


def _scaled(estimates: Estimates) -> str:
    """By what, and what cannot be; "" where nothing is."""
    if not estimates.speeds:
        return ""
    formats = [f"{speed:.2g} in {name.upper()}" for name, speed in estimates.speeds.items() if name not in (FP64, COPIES)]
    errors, copies = (estimates.speeds.get(name) for name in (FP64, COPIES))
    said = [
        f"By large products this GPU's speed is {joined(formats)}, where that one's is 1." if formats else "",
        f"Its class says {errors:.2g} in FP64, which errors need." if errors else "",
        f"What copies memory is {copies:.2g} times as fast."
        if copies
        else "What copies memory is scaled as products are: no run tells how fast its GPU copies.",
    ]
    return "".join(f" {sentence}" for sentence in said if sentence)


def _tests(case: Case, estimates: Estimates) -> list[Planned]:
    """Those that are known of it, or of what is not known all but a training."""
    known = [Planned(kind, case) for kind in KINDS if estimates.seconds(kind, case) is not None]
    return known or [Planned(kind, case) for kind in KINDS if kind != "accuracy"]


def _expected(case: Case, reason: str | None, tests: Sequence[Planned], estimates: Estimates, card: Card | None) -> Expected:
    if reason is not None or not tests:
        return Expected(case, reason or LEFT_OUT)
    seconds = [found for test in tests if (found := estimates.seconds(*test)) is not None]
    peaks = [peak for test in tests if (peak := estimates.peak_bytes(*test, card)) is not None]
    needed = [least for test in tests if (least := estimates.needed_bytes(*test)) is not None]
    return Expected(case, None, sum(seconds) if seconds else None, max(peaks, default=None), max(needed, default=None))


def _tables(running: Sequence[Expected]) -> Iterator[Section]:
    for workload in dict.fromkeys(e.case.workload for e in running):
        own = [e for e in running if e.case.workload == workload]
        rows = [[e.case.precision, e.case.execution, _minutes(e.seconds), _gib(e.peak_bytes)] for e in own]
        table = Table(["mode", "execution", "minutes", "GiB"], rows, "llrr")
        yield Section(f"{workload} ({_size(own[0].case)})", tables=[table])


def _is_known(expected: Expected) -> bool:
    return expected.seconds is not None or expected.peak_bytes is not None


def _named(running: Sequence[Expected]) -> list[Section]:
    """Cases that nothing is known of, a workload a row."""
    modes: dict[tuple[str, str, str], list[str]] = {}
    for case in (e.case for e in running):
        modes.setdefault((case.workload, _size(case), case.execution), []).append(case.precision)
    rows = [[*of, ", ".join(names)] for of, names in modes.items()]
    return [Section(tables=[Table(["workload", "size", "execution", "modes"], rows, "llll")])] if rows else []


def _size(case: Case) -> str:
    if issubclass(workloads[case.workload], OwnStep):
        return "own step"
    return case.size if case.batch_size is None else f"{case.size}, batch of {case.batch_size}"


def _minutes(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds / 60:.1f}"


def _gib(peak_bytes: int | None) -> str:
    return "-" if peak_bytes is None else f"{peak_bytes / GIB:.1f}"
