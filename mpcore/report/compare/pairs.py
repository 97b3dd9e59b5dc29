"""The cases that two runs have, and those that only one of them has."""

from collections.abc import Sequence
from dataclasses import dataclass

from mpcore.gate import since
from mpcore.records import AnyRecord, Parity, Result, Run


@dataclass(frozen=True)
class Pairs:
    """both: the records of a case in the first and in the second run, which are comparable. gone, new: cases that only the
    first or only the second has. other: why those that both have cannot be compared."""

    both: Sequence[tuple[AnyRecord, AnyRecord]]
    gone: Sequence[str]
    new: Sequence[str]
    other: Sequence[str]

    def results(self, side: int) -> list[Result]:
        return [Result(record=pair[side]) for pair in self.both]


def paired(first: Run, second: Run) -> Pairs:
    before, after = ({result.record.identity: result.record for result in run.results} for run in (first, second))
    beside = {
        place: since(after[place], [first.model_copy(update={"results": (Result(record=record),)})])
        for place, record in before.items()
        if place in after
    }
    return Pairs(
        both=[(of.accepted[0], of.record) for of in beside.values() if of.accepted],
        gone=[_name(record) for place, record in before.items() if place not in after],
        new=[_name(record) for place, record in after.items() if place not in before],
        other=[f"{_name(of.record)}: {of.other}" for of in beside.values() if of.other],
    )


def _name(record: AnyRecord) -> str:
    against = f" against {record.rival}" if isinstance(record, Parity) else ""
    return f"{record.kind} of {record.case.id}{against}"
