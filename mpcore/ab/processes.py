"""What measures the cases of a side: a process, or launches of ranks where some are spread over several GPUs."""

from collections.abc import Mapping

from mpcore.ab.revisions import Checkout
from mpcore.parallel.launches import Launches
from mpcore.records import Selection
from mpcore.runner import Runner
from mpcore.runner.runner import CASE_SECONDS
from mpcore.selection import SelectionError

LEAST_PATIENCE_SECONDS = 120.0
PATIENCE = 5.0
"""How many times as long as its like a case may take."""


def start(checkout: Checkout, selection: Selection, environment: Mapping[str, str] | None = None) -> Runner | Launches:
    """A fresh one for `checkout`. environment: variables of its own, where this process has none of that name. Raises
    SelectionError for ranks that are to run under a command."""
    if not selection.spread:
        return Runner(checkout.tree, selection, checkout.python, prefix=checkout.prefix, environment=environment)
    if checkout.command:
        raise SelectionError(
            f"{' '.join(checkout.command)!r} cannot start ranks, which must be processes of this machine: expected no "
            "--base-command and no --head-command beside --mp-gpus, but --base-python or --head-python"
        )
    return Launches(checkout.tree, selection, checkout.python, environment=environment)


def patience(seconds: float) -> float:
    """Seconds after which a case counts as hung. seconds: what its like has taken, a whole process or a case of base."""
    return min(max(LEAST_PATIENCE_SECONDS, PATIENCE * seconds), CASE_SECONDS)
