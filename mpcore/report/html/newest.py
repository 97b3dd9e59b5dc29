"""The newest result of each case on each machine: what a page with many runs shows the details of."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from mpcore.records import Numerics, Quality, Result, Run, Speed
from mpcore.report.rows import key

R = TypeVar("R", Speed, Quality, Numerics)


@dataclass(frozen=True)
class Group:
    """What is comparable: the results of one workload, size, execution and batch on one machine."""

    label: str
    results: Sequence[Result]

    def records(self, kind: type[R]) -> list[R]:
        return [result.record for result in self.results if isinstance(result.record, kind)]


def newest(runs: Sequence[Run]) -> dict[str, list[Result]]:
    """By the key of the hardware."""
    found: dict[str, dict[tuple[str, ...], Result]] = {}
    for run in sorted(runs, key=lambda run: run.datetime):
        results = found.setdefault(run.machine.hardware.key, {})
        results |= {result.record.identity: result for result in run.results}
    return {hardware: list(results.values()) for hardware, results in found.items()}


def groups(results: Mapping[str, Sequence[Result]]) -> Iterator[Group]:
    """Those of all machines, by workload."""
    found: dict[tuple[str, ...], list[Result]] = {}
    for hardware, of in results.items():
        for result in of:
            found.setdefault((*key(result.record.case)[:-1], hardware), []).append(result)
    for (workload, size, execution, batch, hardware), members in sorted(found.items()):
        of_batch = f", batch of {batch}" if batch else ""
        yield Group(f"{workload} ({size}, {execution}{of_batch}) on {hardware}", members)
