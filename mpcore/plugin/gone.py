"""What accepted runs have, and a session has not."""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import pytest

from mpcore.matrix import trainers_of
from mpcore.selection import ALL
from mpcore.store import accepted_last

if TYPE_CHECKING:
    from mpcore.records import AnyRecord, Run, Selection

CHOSEN_BY_HAND = ("keyword", "deselect", "ignore", "ignore_glob", "lf", "mp_minutes")
"""Options that choose tests by other names than ours, or by time: nothing is missed then."""


def gone(
    config: pytest.Config,
    selection: "Selection",
    accepted: "Sequence[Run]",
    here: Mapping[str, str | None],
    kinds: Collection[str],
    sizes: Collection[str],
) -> "list[tuple[AnyRecord, str]]":
    """The records that were accepted last whose tests are no longer there, or are skipped now, and why. They are of the kinds
    of tests and the names that were chosen. here: for each test of a case, by the name of its record, why it was skipped, None
    where it was not."""
    by_hand = any(getattr(config.option, name, None) for name in CHOSEN_BY_HAND) or any("::" in a for a in config.args)
    if by_hand:
        return []
    chosen = (
        selection.workloads,
        selection.precisions,
        trainers_of(selection),
        selection.executions,
        selection.batch_sizes,
        selection.gpus or (1,),
    )
    found = []
    for record in (result.record for run in accepted_last(accepted) for result in run.results):
        case = record.case
        names = (case.workload, case.precision, case.trainer, case.execution, case.batch_size, case.gpus)
        if case.gpus > 1 and selection.strategies and case.strategy not in selection.strategies:
            continue
        looked_for = all(name in some or not some or ALL in some for name, some in zip(names, chosen, strict=True))
        why = here.get(record.name, "there is no such test")
        if looked_for and record.kind in kinds and case.size in sizes and why is not None:
            found.append((record, why))
    return found
