"""How much of what a large matrix product reaches each step does, workload by workload and however it is run."""

from collections.abc import Iterable, Sequence

from mpcore.records import Result
from mpcore.report.columns import COLUMNS, written
from mpcore.report.document import Section, Table
from mpcore.report.rows import Row, grouped, how, rows

FIGURE = "ceiling_pct"
LEAD = "FLOPs a second in per cent of those of a product of two random 8192 x 8192 matrices in the mode's format, on this GPU."


def ceilings(results: Sequence[Result]) -> list[Section]:
    """None where no ceiling was measured, as on a CPU."""
    found = [row for row in rows(results) if row[FIGURE] is not None]
    if not found:
        return []
    modes = list(dict.fromkeys(row["precision"] for row in found))
    cells = [_row(group, modes) for group in grouped(found)]
    return [Section("Share of the ceiling", LEAD, [Table(["workload", "as", *modes], cells, "ll" + "r" * len(modes))])]


def _row(group: Sequence[Row], modes: Iterable[str]) -> list[str]:
    shares = {row["precision"]: row[FIGURE] for row in group}
    batch = f" (batch of {group[0]['batch']})" if group[0]["batch"] else ""
    return [group[0]["workload"], how(group[0]) + batch, *(written(shares.get(mode), COLUMNS[FIGURE].form) for mode in modes)]
