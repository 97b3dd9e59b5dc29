"""Figures of papers and articles as lines: of workloads that were measured here, in the units that they were measured in."""

from collections.abc import Iterable, Iterator, Sequence

from mpcore.records import Published
from mpcore.report.figure import MEMORY, OVER, SCORE, THROUGHPUT, Figure
from mpcore.report.line import Line

PERCENT = " %"
GIB_PER_GB = 1e9 / 2**30


def published(figures: Iterable[Published], ours: Sequence[Line]) -> list[Line]:
    units = {(line.workload, line.figure): line.unit for line in ours}
    return [
        _line(record, figure, unit, value)
        for record in figures
        for figure, value in _values(record, units.get((record.workload, SCORE.name), ""))
        if (unit := units.get((record.workload, figure.name)))
    ]


def _values(record: Published, unit: str) -> Iterator[tuple[Figure, float]]:
    """unit: of our score, which says what metric counts, and whether as a percentage."""
    if record.per_second:
        yield THROUGHPUT, record.per_second
    if record.speedup and record.over in OVER:
        yield OVER[record.over], record.speedup
    if record.memory_gb:
        yield MEMORY, record.memory_gb * GIB_PER_GB
    metric = unit.removesuffix(PERCENT)
    if metric in record.metrics:
        yield SCORE, record.metrics[metric] * (100 if unit.endswith(PERCENT) else 1)


def _line(record: Published, figure: Figure, unit: str, value: float) -> Line:
    """Its size, its execution and mostly its batch are not known."""
    note = f" ({record.note})" if record.note else ""
    return Line(
        workload=record.workload,
        size="",
        execution="",
        batch="",
        precision=record.precision,
        hardware=f"{record.hardware} (published)",
        figure=figure.name,
        unit=unit,
        value=value,
        published=True,
        setting="",
        source=f"{record.source}: {record.setting}{note}",
    )
