"""Cases measured beside the commit of an accepted run, and beside the revision that a change is to go into."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mpcore.gate.margins import Margins
    from mpcore.plugin.options import Options
    from mpcore.records import PairedConfirmation, Run, Speed


def beside(
    accepted: "Run | None", speeds: "Sequence[Speed]", options: "Options", margins: "Margins", software: dict[str, str]
) -> "PairedConfirmation | str":
    """Or the sentence that says why they were not measured so. The memory of the GPU should be free. software: of today."""
    from mpcore.ab import measure_beside
    from mpcore.gate.confirmation import is_slower
    from mpcore.gate.software import other_software
    from mpcore.records import PairedConfirmation

    if accepted is None or accepted.commit is None:
        return "the accepted run names no commit"
    cases, selection = [speed.case for speed in speeds], options.selection
    pairs = measure_beside(accepted.commit, cases, selection)
    if isinstance(pairs, str):
        return pairs
    target = options.base
    asked = target and is_slower(pairs, speeds[0], margins)
    of_target = measure_beside(target, cases, selection) if asked else {}
    return PairedConfirmation(
        commit=accepted.commit,
        pairs=pairs,
        other_software=other_software(accepted.machine.software, software, max(case.gpus for case in cases)),
        target=target,
        target_pairs={} if isinstance(of_target, str) else of_target,
        target_reason=of_target if isinstance(of_target, str) else "",
    )
