"""What accepted runs have of a case that can be compared with a new record of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mpcore.records import AnyRecord, Run


@dataclass(frozen=True)
class BaselineMatch:
    """A record, and what accepted runs have of the same case, by the number of the run, oldest first.

    other: in words, what they have of it that cannot be compared.
    """

    record: AnyRecord
    accepted: Mapping[int, AnyRecord]
    other: str | None = None


def match_baselines(record: AnyRecord, runs: Sequence[Run]) -> BaselineMatch:
    """What is comparable: the same case and kind, version of the workload, size of batch; of trainings, data and weights. Only
    runs since the case was last reset count."""
    resets = [number for number, run in enumerate(runs) if run.accepted and record.name in run.accepted.reset]
    of_case = {
        number: result.record
        for number, run in enumerate(runs)
        for result in run.results
        if (result.record.kind, result.record.case) == (record.kind, record.case) and number >= max(resets, default=0)
    }
    accepted = {number: old for number, old in of_case.items() if old.terms == record.terms}
    other = None
    if of_case and not accepted:
        now, then = record.terms, of_case[max(of_case)].terms
        other = ", ".join(f"{name} {then[name]} there, {value} here" for name, value in now.items() if value != then.get(name))
    return BaselineMatch(record, accepted, other)
