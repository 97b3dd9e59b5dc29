"""A table of each workload's cases, with what sets the time of a step below it: what a session ends with."""

from collections.abc import Sequence

from mpcore.records import FailedTest, Result, Run
from mpcore.report.columns import PARITY, SUMMARY, WORK, columns, table
from mpcore.report.document import Section
from mpcore.report.eager import eager_ranges
from mpcore.report.rows import Row, grouped, how, parity_rows, rows

SPARE = (*reversed(WORK), "compile_s", "eager_ms", "train_s", "gradient_error", "update_error", "score")
"""What a terminal leaves out first where it is too narrow: reports have it."""
LEGEND = (
    "x fp32, x tf32: times as fast as that mode; an eager step in blocks beside that mode's, which its step ms, a median of "
    "all, need not give. GiB: most memory that an eager step takes. train: seconds of a training. pts: points, or of a "
    "perplexity per cent, by which it is better than fp32, same seeds. grad., upd.: relative errors of a gradient and of 20 "
    'updates against FP64. "-": not measured.'
)
MEASURED = ("step_ms", "train_s", "gradient_error")
"""What the legend is about."""
LAUNCHED = " eager ms: of the same step launched by Python, from the lowest to the highest of this and accepted runs."
COUNTED = " casts, launches, saved GiB: of one step, counted."
COMPILED = " x graph: times as fast as the same step, not compiled. compile s: seconds to compile it."
OF_VARIANTS = " x base, pts base: of a variant, over the mode that it patches, which it took turns with."
SINCE = " since: the gravest of what changed since accepted runs."


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
    measured = any(row[name] is not None for row in found for name in MEASURED)
    variants = any(row["over_base"] is not None or row["points_over_base"] is not None for row in found)
    compiled = any(row["compile_s"] is not None for row in found)
    counted = any(row["casts"] is not None for row in found)
    legend = Section(
        lead="".join(
            said
            for said, wanted in (
                (LEGEND, measured),
                (LAUNCHED, ranges),
                (COUNTED, counted),
                (COMPILED, compiled),
                (OF_VARIANTS, variants),
                (SINCE, since),
            )
            if wanted
        ).strip()
    )
    return sections if folded or not sections else [*sections, legend]


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
    return [f"{row['precision']}: {said}" for row in group for said in (row["why"], row["compiled"]) if said]
