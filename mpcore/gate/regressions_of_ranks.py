"""What ranks send, against accepted runs: calls and bytes repeat, so that any difference is one. The error of the gradient that
they average may grow by a factor."""

import statistics
from collections.abc import Sequence

from mpcore.gate.digits import error_since
from mpcore.gate.judgement import judgement_of
from mpcore.records import Collective, OnePart, Parallel, Regression, RegressionStatus


def regressions_of_ranks(accepted: Sequence[Parallel], parallel: Parallel, factor: float) -> list[Regression]:
    """accepted: oldest first; what is sent is compared with the last. factor: times its error in accepted runs."""
    last = accepted[-1]
    found = [_less(parallel, "calls between ranks", "calls", _calls(last), _calls(parallel), _named(last, parallel))]
    found.append(_less(parallel, "bytes between ranks", "bytes", _bytes(last), _bytes(parallel), _named(last, parallel)))
    found += _worse_error(parallel, "", accepted, parallel, factor)
    if parallel.one_part is not None:
        one_part = [old.one_part for old in accepted if old.one_part is not None]
        found += _worse_error(parallel, " in one part", one_part, parallel.one_part, factor)
    return found


def _calls(parallel: Parallel) -> int:
    return sum(each.calls for each in parallel.collectives)


def _bytes(parallel: Parallel) -> int:
    return sum(each.bytes for each in parallel.collectives)


def _named(before: Parallel, after: Parallel) -> str:
    """What is sent otherwise, by what it is called and its format."""
    old, new = ({(c.operation, c.dtype): c for c in each.collectives} for each in (before, after))
    return "; ".join(
        f"{operation} ({dtype}) {_said(was)} -> {_said(now)}"
        for operation, dtype in dict.fromkeys([*old, *new])
        if (was := old.get((operation, dtype))) != (now := new.get((operation, dtype)))
    )


def _said(sent: Collective | None) -> str:
    return f"{sent.calls} calls, {sent.bytes:,} bytes" if sent else "none"


def _less(parallel: Parallel, metric: str, unit: str, before: int, after: int, why: str) -> Regression:
    """What is sent otherwise, though as much of it, is changed."""
    other: RegressionStatus = "changed" if why else "same"
    status: RegressionStatus = "worse" if after > before else "better" if after < before else other
    sentence = f"a step of {parallel.case.precision} sends {after:,} {unit} between ranks, {before:,} in the last accepted run"
    return _regression(parallel, metric, status, after, before, f"{sentence}: {why}" if why else sentence)


def _worse_error(
    parallel: Parallel, how: str, accepted: Sequence[Parallel | OnePart], of: Parallel | OnePart, factor: float
) -> list[Regression]:
    """Nothing where no accepted run has one. of: what has the error now."""
    errors = [old.mode_error for old in accepted if old.mode_error is not None]
    if not errors:
        return []
    before, now = statistics.median(errors), of.mode_error
    limit = factor * before
    worse, better = now is None or now > limit, now is not None and now * factor < before
    status: RegressionStatus = "worse" if worse else "better" if better else "same"
    figure, then = error_since(before, now, factor)
    averaged = f"the gradient{' of a batch' if how else ''}{how} that {len(parallel.ranks)} ranks average"
    sentence = (
        f"{averaged} in {parallel.case.precision} is {figure} from {parallel.reference.upper()}, {then} in accepted runs. "
        f"The limit is {factor:g} times that"
    )
    return [_regression(parallel, f"averaged gradient error{how}", status, now, limit, sentence)]


def _regression(
    parallel: Parallel, metric: str, status: RegressionStatus, value: float | None, limit: float, sentence: str
) -> Regression:
    return Regression(status=status, **judgement_of(parallel, metric, value, limit, sentence))
