"""What accepted runs have of a case that can be compared with a new record of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mpcore.records import AnyRecord, Result, Run, Speed


@dataclass(frozen=True)
class BaselineMatch:
    """A record, and what accepted runs have of the same case, by the number of the run, oldest first.

    last: the newest of it that they have, comparable or not. other: in words, why none can be compared.
    """

    record: AnyRecord
    accepted: Mapping[int, AnyRecord]
    last: AnyRecord | None = None
    other: str | None = None


def match_baselines(record: AnyRecord, runs: Sequence[Run]) -> BaselineMatch:
    """What is comparable: the same case and kind, version of the workload, size of batch; of trainings, data and weights. Only
    runs since the case was last reset count, and of speeds only those of a step that computed what it should."""
    resets = [number for number, run in enumerate(runs) if run.accepted and record.name in run.accepted.reset]
    of_case = {
        number: _held(result)
        for number, run in enumerate(runs)
        for result in run.results
        if (result.record.kind, result.record.case) == (record.kind, record.case) and number >= max(resets, default=0)
    }
    last = of_case[max(of_case)] if of_case else None
    wrong = {number: why for number in of_case if (why := _wrong(record, runs[number]))} if record.kind == "speed" else {}
    accepted = {number: old for number, old in of_case.items() if old.terms == record.terms and number not in wrong}
    if accepted or last is None:
        return BaselineMatch(record, accepted, last)
    return BaselineMatch(record, {}, last, differing(last.terms, record.terms) or wrong[max(wrong)])


def _held(result: Result) -> AnyRecord:
    """The record, with the memory of a second measurement where that had less: the first was not the step's."""
    record, again = result.record, result.confirmation
    if not isinstance(record, Speed) or not isinstance(again, Speed):
        return record
    both = {name: (getattr(record, name), getattr(again, name)) for name in ("peak_allocated_bytes", "pool_bytes")}
    return record.model_copy(update={name: min(held) for name, held in both.items() if None not in held})


def _wrong(record: AnyRecord, run: Run) -> str:
    """Why the step of this case in an accepted run is none to be as fast as: it may be fast for what it lost. Else ""."""
    for result in run.results:
        if result.record.case == record.case:
            for check in result.checks:
                if not check.passed and (check.kind == "numerics" or check.metric == "learning"):
                    return f"{check.metric} there is {check.status}"
    return ""


def differing(then: Mapping[str, object], now: Mapping[str, object]) -> str:
    """The terms that are not the same there and here, in words."""
    names = [name for name in {**then, **now} if then.get(name) != now.get(name)]
    return ", ".join(f"{name} {then.get(name, 'none')} there, {now.get(name, 'none')} here" for name in names)
