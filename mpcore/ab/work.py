"""Base against head by what a step does: one process of each counts every case once, for counts repeat.

Where counts are the verdict, one waits for the other on a GPU: what memory is free decides there which kernels run.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import Protocol

from mpcore.ab.code import check_code, check_environments, loaded_after, unchanged, unchanged_comparison
from mpcore.ab.listings import listed, matched
from mpcore.ab.processes import patience
from mpcore.ab.processes import start as started
from mpcore.ab.revisions import Checkout
from mpcore.ab.verdicts import only_in_head
from mpcore.gate.work import work_regressions
from mpcore.records import Case, Comparison, Failure, Listing, Loaded, PairedCase, Regression, Selection, Work
from mpcore.records.protocol import RequestKind
from mpcore.runner import Measured, RunnerError
from mpcore.selection import ALL

KIND: RequestKind = "work"
NOT_COMPILED = ("eager", "graph")
ONE_THREAD = {"OMP_NUM_THREADS": "1"}
"""Two processes share the cores."""


Progress = Callable[[str], None]


class Process(Protocol):
    """Of a Runner, what counts."""

    def listing(self) -> Listing: ...

    def loaded(self) -> Loaded | None: ...

    def measuring(self, cases: Sequence[Case], *, kind: RequestKind) -> Iterator[tuple[Case, Measured]]: ...

    def be_patient(self, seconds: float) -> None: ...

    def close(self) -> None: ...


Start = Callable[[Checkout, Selection], Process]
Works = tuple[dict[Case, Measured], dict[Case, Measured]]
"""Of base and head."""


def start(checkout: Checkout, selection: Selection) -> Process:
    """A fresh process for `checkout`."""
    return started(checkout, selection, ONE_THREAD)


def all_work(selection: Selection) -> Selection:
    """Where it names nothing else, every mode, tiny, on the CPU."""
    defaults = {"precisions": (ALL,), "size": "tiny", "device": "cpu"}
    return selection.model_copy(update={name: getattr(selection, name) or value for name, value in defaults.items()})


def compare_work(
    base: Checkout, head: Checkout, selection: Selection, *, progress: Progress = lambda line: None, start: Start = start
) -> Comparison:
    """What a step of each case does in base and in head.

    Raises RunnerError where one of them lists no cases, or is too old to count. Raises SelectionError where neither has what
    is selected, and where one of two trees has no code of its own or runs the other's. It is raised, too, where two
    environments of one tree are the same.
    """
    with closing(start(base, selection)) as first, closing(start(head, selection)) as second:
        progress("base and head list their cases")
        listings = _listing("base", base, first), _listing("head", head, second)
        found = matched((base, head), listings)
        loaded = first.loaded(), second.loaded()
        check_code((base, head), loaded)
        revisions = base.revision(listings[0].machine, loaded[0]), head.revision(listings[1].machine, loaded[1])
        if unchanged(*revisions):
            check_environments(base, head, loaded[1])
            return unchanged_comparison(*revisions, selection, found.common)
        device = listings[1].machine.hardware.device
        count = counted_at_once if device == "cpu" else counted_in_turn
        before, after = count((base, head), (first, second), found.common, progress)
    answers = {case: _compared(case, before[case], after[case]) for case in found.common}
    failures = {case.id: answer for case, answer in answers.items() if isinstance(answer, Failure)}
    return Comparison(
        by="work",
        base=revisions[0],
        head=revisions[1],
        selection=selection,
        datetime=datetime.now(UTC).isoformat(timespec="seconds"),
        cases=(
            *(PairedCase(case=case, pairs=(), regressions=a) for case, a in answers.items() if not isinstance(a, Failure)),
            *(PairedCase(case=case, pairs=(), regressions=(only_in_head(case, KIND, KIND),)) for case in found.new),
        ),
        failures=found.failures | {case: failure.sentence for case, failure in failures.items() if not failure.skipped},
        skipped=found.skipped | {case: failure.sentence for case, failure in failures.items() if failure.skipped},
    )


def _listing(side: str, checkout: Checkout, process: Process) -> Listing:
    listing = listed(side, checkout, process)
    if KIND not in listing.kinds:
        raise RunnerError(f"{side} ({checkout.name}) cannot count work: it is older than --work-only, and can only be timed")
    return listing


def counted_at_once(
    sides: tuple[Checkout, Checkout], processes: tuple[Process, Process], cases: Sequence[Case], progress: Progress
) -> Works:
    """Of base and head. Raises SelectionError where both have loaded one file for them that differs."""
    base, head = processes
    progress(_said(cases))
    begun = [process.measuring(cases, kind=KIND) for process in processes]
    of_base, longest = _timed(begun[0])
    _bound(head, of_base, longest)
    works = of_base, dict(begun[1])
    check_code(sides, (loaded_after(base), loaded_after(head)))
    return works


def counted_in_turn(
    sides: tuple[Checkout, Checkout],
    processes: tuple[Process, Process],
    cases: Sequence[Case],
    progress: Progress,
    *,
    fresh: bool = False,
) -> Works:
    """The same, head once base has ended. fresh: whether it has touched no GPU; else it ends, and starts again in its turn."""
    base, head = processes
    if not fresh:
        head.close()
    progress(_said(cases))
    of_base, longest = _timed(base.measuring(cases, kind=KIND))
    code_of_base = loaded_after(base)
    base.close()
    progress("base is counted, and head follows")
    _bound(head, of_base, longest)
    works = of_base, dict(head.measuring(cases, kind=KIND))
    check_code(sides, (code_of_base, loaded_after(head)))
    return works


def _timed(measuring: Iterator[tuple[Case, Measured]]) -> tuple[dict[Case, Measured], float]:
    """What was measured, and the longest time that one case of it took, in seconds."""
    found: dict[Case, Measured] = {}
    longest, begin = 0.0, time.monotonic()
    for case, measured in measuring:
        found[case] = measured
        longest, begin = max(longest, time.monotonic() - begin), time.monotonic()
    return found, longest


def _bound(head: Process, of_base: Mapping[Case, Measured], longest: float) -> None:
    """No case of head takes far longer than the longest of base. Where base has failed, or head may have to compile what base
    found in a cache, that says nothing."""
    if all(isinstance(measured, Work) and case.execution in NOT_COMPILED for case, measured in of_base.items()):
        head.be_patient(patience(longest))


def _said(cases: Sequence[Case]) -> str:
    return f"{len(cases)} {'case is' if len(cases) == 1 else 'cases are'} counted in base and head"


def _compared(case: Case, base: Measured, head: Measured) -> tuple[Regression, ...] | Failure:
    """What the counts say, or why they say nothing."""
    if not (isinstance(base, Work) and isinstance(head, Work)):
        return _failed(case, {"base": base, "head": head})
    return tuple(work_regressions(base, head))


def _failed(case: Case, answers: Mapping[str, Measured]) -> Failure:
    """Skipped where neither can run the case."""
    sentences = {side: answer.sentence for side, answer in answers.items() if isinstance(answer, Failure)}
    if all(isinstance(answer, Failure) and answer.skipped for answer in answers.values()):
        return Failure(case=case, sentence=sentences["head"], skipped=True)
    return Failure(case=case, sentence="; ".join(f"{side}: {sentence}" for side, sentence in sentences.items()))
