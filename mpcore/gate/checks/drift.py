"""What the drift of references leaves in doubt."""

from collections.abc import Sequence

from mpcore.gate.checks.check import SPEEDUP, new_check, passed
from mpcore.records import Check, Drift, Result


def drift_checks(drift: Drift, before: Sequence[Result]) -> list[Check]:
    """It fails where it is so large that what was shown to be faster than such a reference may not be."""
    case = drift.case.in_precision("")
    shown = [check for r in before if r.record.case.in_precision("") == case for check in r.checks if check.passed]
    return [
        _drifted(drift, mode, share, [check for check in shown if check.metric == f"{SPEEDUP} {mode}"])
        for mode, share in drift.shares.items()
    ]


def _drifted(drift: Drift, mode: str, share: float, shown: Sequence[Check]) -> Check:
    speedups = {check.case: check.value for check in shown if check.value is not None}
    doubtful = [name for name, value in speedups.items() if value * (1 - abs(share)) <= 1]
    limit = 100 * (1 - 1 / min(speedups.values())) if speedups else None
    direction = "more" if share > 0 else "less"
    much = f"{100 * abs(share):.1f} % {direction}"
    sentence = f"a step of {mode} took {much} time at the end of the workload than at its beginning"
    if doubtful:
        sentence += f". So {', '.join(doubtful)} may not be faster"
    return new_check(drift, "drift", passed(not doubtful), 100 * share, limit, sentence)
