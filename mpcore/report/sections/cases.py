"""A table of each workload's cases, with what sets the time of a step below it: what a session ends with."""

from collections.abc import Iterator, Sequence

from mpcore.records import FailedTest, Result, Run
from mpcore.report import legends
from mpcore.report.columns import PARITY, SUMMARY, WORK, columns, table
from mpcore.report.document import Section
from mpcore.report.eager import eager_ranges
from mpcore.report.rows import Row, grouped, how, parity_rows, rows
from mpcore.report.sections.notes import more_seeds

SPARE = (*reversed(WORK), "compile_s", "eager_ms", "train_s", "gradient_error", "update_error", "score")
"""What a terminal leaves out first where it is too narrow: reports have it."""


def cases(
    results: Sequence[Result], failed: Sequence[FailedTest], device: str, accepted: Sequence[Run] = (), *, folded: bool = False
) -> list[Section]:
    """A section for each workload, and, unless they are folded, one that explains the headings. accepted: runs whose eager
    times are shown together with these."""
    ranges = eager_ranges(results, accepted)
    found = [row | {"eager_ms": ranges.get(row["case"])} for row in rows(results, failed)]
    since = any(row["regression"] not in (None, "new") for row in found)
    shown = columns([*SUMMARY, *(["regression"] if since else [])], brief=True)
    sections = [
        Section(_title(group, device), tables=[table(group, shown, SPARE)], sentences=_reasons(group), folded=folded)
        for group in grouped(found)
    ]
    legend = Section(lead=" ".join(_legends(found, eager=bool(ranges), since=since)))
    return sections if folded or not sections else [*sections, legend]


def _legends(found: Sequence[Row], *, eager: bool, since: bool) -> Iterator[str]:
    """For the columns that there are."""

    def has(*names: str) -> bool:
        return any(row[name] is not None for row in found for name in names)

    wanted = {
        legends.SPEED_UPS: has("over_fp32", "over_tf32"),
        legends.MEMORY: has("peak_gib"),
        legends.TRAININGS: has("train_s"),
        legends.ERRORS: has("gradient_error"),
        legends.LAUNCHED: eager,
        legends.COUNTED: has("casts"),
        legends.OVER_GRAPH: has("over_graph"),
        legends.COMPILED: has("compile_s"),
        legends.VARIANTS: has("over_base", "points_over_base"),
        legends.SINCE: since,
    }
    said = [legend for legend, shown in wanted.items() if shown]
    yield from [*said, legends.NOT_MEASURED] if said else []


def against_trainers(results: Sequence[Result], title: str, *, folded: bool = False) -> list[Section]:
    """None where no other trainer was measured."""
    found = parity_rows(results)
    said = ["x: how many times as fast ours is"]
    return [Section(title, tables=[table(found, columns(PARITY))], sentences=said, folded=folded)] if found else []


def _title(group: Sequence[Row], device: str) -> str:
    first = group[0]
    batch = next((f", batch of {found}" for row in group if (found := row["batch_size"] or row["batch"])), "")
    return f"{first['workload']} ({first['size']}, {how(first)}{batch}, on {device})"


def _reasons(group: Sequence[Row]) -> list[str]:
    found = [f"{row['precision']}: {said}" for row in group for said in (row["why"], row["compiled"], row["waits"]) if said]
    return [*found, *more_seeds(group)]
