"""What becomes of `worse` once it has been measured again."""

from collections.abc import Sequence

from mpcore.gate.regressions import COMPILE_TIME
from mpcore.records import Regression, RegressionStatus, Result, Speed


def needs_confirmation(result: Result) -> bool:
    """Whether a time or a memory is worse, and was not measured again yet."""
    worse = any(r.status == "worse" and r.metric != COMPILE_TIME for r in result.regressions)
    return worse and isinstance(result.record, Speed) and result.confirmation is None


def confirmed(first: Sequence[Regression], second: Sequence[Regression] | str) -> list[Regression]:
    """The first ones, in which `worse` stands only where a second measurement in a fresh process says so again. Where that
    could not be made, for the reason given, it stands, and so does the time to compile."""
    again = {} if isinstance(second, str) else {regression.metric: regression for regression in second}
    unmeasured = f"; it could not be measured again: {second}" if isinstance(second, str) else None
    return [
        _confirmed(found, again.get(found.metric), unmeasured)
        if found.status == "worse" and found.metric != COMPILE_TIME
        else found
        for found in first
    ]


def _confirmed(first: Regression, second: Regression | None, unmeasured: str | None) -> Regression:
    if unmeasured is not None:
        return _said(first, "worse", unmeasured)
    if second is not None and second.status == "worse":
        return _said(first, "worse", "; measured again in a fresh process, it is so again")
    says = second.sentence if second else "nothing of it"
    return _said(first, "undecided", f"; measured again in a fresh process, it is not so: {says}")


def _said(regression: Regression, status: RegressionStatus, more: str) -> Regression:
    return regression.model_copy(update={"status": status, "sentence": regression.sentence + more})
