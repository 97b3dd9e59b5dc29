"""The newest result of each case on each machine: what a page with many runs shows the details of."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from mpcore.records import AnyRecord, FailedTest, Numerics, Quality, Result, Run, Speed
from mpcore.report.rows import group_of, how, keys

R = TypeVar("R", Speed, Quality, Numerics)
Terms = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Newest:
    """Of one machine, by place and terms: the run that has it last, and what it has."""

    found: Mapping[tuple[object, ...], tuple[Run, Result]]

    @property
    def results(self) -> list[Result]:
        return [result for _, result in self.found.values()]

    @property
    def failed(self) -> list[FailedTest]:
        """The tests that failed where these were measured."""
        return [
            test
            for run, result in self.found.values()
            for test in run.failed
            if (test.case, test.kind) == (result.record.case.id, result.record.kind)
        ]

    def comparable(self) -> list[list[Result]]:
        """Apart where a workload was measured on several terms, as in other versions or trained on other data. First what is
        newest, then what is older."""
        terms: dict[tuple[Any, ...], list[Terms]] = {}
        for _, result in sorted(self.found.values(), key=lambda pair: pair[0].datetime, reverse=True):
            known = terms.setdefault(_what(result.record), [])
            if terms_of(result.record) not in known:
                known.append(terms_of(result.record))
        parts: list[list[Result]] = [[] for _ in range(max(map(len, terms.values()), default=1))]
        for result in self.results:
            parts[terms[_what(result.record)].index(terms_of(result.record))].append(result)
        return parts


@dataclass(frozen=True)
class Group:
    """What is comparable: the results of one kind, workload, size, execution, batch and machine, on the same terms."""

    label: str
    results: Sequence[Result]

    def records(self, kind: type[R]) -> list[R]:
        return [result.record for result in self.results if isinstance(result.record, kind)]


def newest(runs: Sequence[Run]) -> dict[str, Newest]:
    """By the key of the hardware."""
    found: dict[str, dict[tuple[object, ...], tuple[Run, Result]]] = {}
    for run in sorted(runs, key=lambda run: run.datetime):
        results = found.setdefault(run.machine.hardware.key, {})
        for result in run.results:
            results[result.record.identity, terms_of(result.record)] = run, result
    return {hardware: Newest(of) for hardware, of in found.items()}


def groups(results: Mapping[str, Sequence[Result]]) -> Iterator[Group]:
    """Those of all machines, by workload. Where there are several on other terms, their labels say which."""
    found: dict[tuple[Any, ...], dict[Terms, list[Result]]] = {}
    for hardware, of in results.items():
        for result in of:
            kind, *place = _what(result.record)
            found.setdefault((*place, hardware, kind), {}).setdefault(terms_of(result.record), []).append(result)
    for (*_, hardware, _), members in sorted(found.items()):
        for terms, own in members.items():
            of_case = keys(own[0].record.case)
            batch = f", batch of {of_case['batch']}" if of_case["batch"] else ""
            differing = distinguished(terms, list(members))
            yield Group(f"{of_case['workload']} ({of_case['size']}, {how(of_case)}{batch}) on {hardware}{differing}", own)


def terms_of(record: AnyRecord) -> Terms:
    return tuple((name, str(value)) for name, value in record.terms.items())


def distinguished(terms: Terms, among: Sequence[Terms]) -> str:
    """What tells `terms` from the others, "" where there are none."""
    differing = [(name, value) for name, value in terms if any((name, value) not in other for other in among)]
    return "".join(f", {name} {value}" for name, value in differing)


def _what(record: AnyRecord) -> tuple[Any, ...]:
    """What is measured of a case, whatever its mode."""
    return record.kind, *group_of(keys(record.case))
