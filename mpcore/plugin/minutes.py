"""`--mp-minutes`: the tests of most worth within a time."""

import math
from collections import Counter
from decimal import ROUND_UP, Context
from typing import TYPE_CHECKING

import pytest

from mpcore.plugin.cases import case_of, kind_of
from mpcore.plugin.options import trained

if TYPE_CHECKING:
    from mpcore.doctor.choice import Planned
    from mpcore.doctor.estimates import Estimates
    from mpcore.plugin.session import Session

CHOSEN = pytest.StashKey[str]()
"""The line that says what was chosen, and what was left out."""


def leave_out(config: pytest.Config, session: "Session", items: list[pytest.Item]) -> None:
    """Of the tests that will take time those that are not chosen. Raises UsageError where no accepted run tells what any
    takes."""
    from mpcore.doctor.choice import Planned, chosen
    from mpcore.doctor.estimates import estimates_here, why_not_within
    from mpcore.measure import Bench
    from mpcore.store import RunError

    minutes = session.options.minutes
    assert minutes is not None
    try:
        device = session.device if isinstance(session.bench, Bench) else None
        estimates = estimates_here(session.options.baselines, session.machine.hardware, device)
    except RunError as error:
        raise pytest.UsageError(str(error)) from error
    if estimates is None:
        raise pytest.UsageError(why_not_within(minutes, session.options.baselines))
    tests = {item: Planned(kind_of(item), case) for item in items if (case := case_of(item)) and _runs(item, session)}
    found = chosen(tests.values(), estimates, minutes)
    if tests and not found:
        raise pytest.UsageError(f"--mp-minutes {minutes:g}: {_too_few(list(tests.values()), estimates)}")
    others = [item for item, test in tests.items() if test not in found]
    kinds = ", ".join(f"{count} of {kind}" for kind, count in Counter(tests[item].kind for item in others).items())
    took = f"{len(found)} of {len(tests)} tests, which take about {sum(found.values()) / 60:.1f} minutes"
    config.stash[CHOSEN] = f"--mp-minutes {minutes:g}: {took}; left out: {kinds or 'nothing'}"
    if others:
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in others]


def _too_few(tests: list["Planned"], estimates: "Estimates") -> str:
    """Why none of them is chosen. The number that is expected is rounded up, so that it is enough."""
    from mpcore.doctor.choice import least_minutes, untold_trainings

    least = least_minutes(tests, estimates)
    if math.isinf(least):
        return f"no accepted run tells how long {untold_trainings(tests, estimates)} will be trained"
    enough = Context(prec=2, rounding=ROUND_UP).create_decimal(repr(least))
    return f"no test takes so little: expected {float(enough):g} or more"


def _runs(item: pytest.Item, session: "Session") -> bool:
    """Not where it is skipped already, or will be for a training that is made on request."""
    case = case_of(item)
    on_request = kind_of(item) == "accuracy" and case is not None and not trained(session.options, case.workload)
    return not item.get_closest_marker("skip") and not on_request
