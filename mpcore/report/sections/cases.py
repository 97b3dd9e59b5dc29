"""A table of each workload's cases, with what sets the time of a step below it: what a session ends with."""

from collections.abc import Sequence

from mpcore.records import FailedTest, Result
from mpcore.report.columns import PARITY, SUMMARY, columns, table
from mpcore.report.document import Section
from mpcore.report.rows import Row, grouped, how, parity_rows, rows

SPARE = ("train_s", "gradient_error", "update_error", "score")
"""What a terminal leaves out first where it is too narrow: reports have it."""
LEGEND = (
    "x fp32, x tf32: times as fast as that mode; an eager step in blocks beside that mode's, which its step ms, a median of "
    "all, need not give. GiB: most memory that an eager step takes. train: seconds of a training. pts: points, or of a "
    "perplexity per cent, by which it is better than fp32, same seeds. grad., upd.: relative errors of a gradient and of 20 "
    'updates against FP64. "-": not measured.'
)
SINCE = " since: the gravest of what changed since accepted runs."


def cases(results: Sequence[Result], failed: Sequence[FailedTest], device: str, *, folded: bool = False) -> list[Section]:
    """A section for each workload, and, unless they are folded, one that explains the headings."""
    found = rows(results, failed)
    since = any(row["regression"] not in (None, "new") for row in found)
    shown = columns([*SUMMARY, *(["regression"] if since else [])], brief=True)
    sections = [
        Section(_title(group, device), tables=[table(group, shown, SPARE)], sentences=_reasons(group), folded=folded)
        for group in grouped(found)
    ]
    legend = Section(lead=LEGEND + SINCE * since)
    return sections if folded or not sections else [*sections, legend]


def against_trainers(results: Sequence[Result], title: str, *, folded: bool = False) -> list[Section]:
    """None where no other trainer was measured."""
    found = parity_rows(results)
    said = ["x: how many times as fast ours is"]
    return [Section(title, tables=[table(found, columns(PARITY))], sentences=said, folded=folded)] if found else []


def _title(group: Sequence[Row], device: str) -> str:
    first = group[0]
    batch = next((f", batch of {row['batch_size']}" for row in group if row["batch_size"]), "")
    return f"{first['workload']} ({first['size']}, {how(first)}{batch}, on {device})"


def _reasons(group: Sequence[Row]) -> list[str]:
    return [f"{row['precision']}: {row['why']}" for row in group if row["why"]]
