"""`--mp-minutes`: the tests of most worth within a time."""

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from mpcore.plugin.cases import case_of, kind_of
from mpcore.plugin.options import trained

if TYPE_CHECKING:
    from mpcore.plugin.session import Session

CHOSEN = pytest.StashKey[str]()
"""The line that says what was chosen, and what was left out."""


def leave_out(config: pytest.Config, session: "Session", items: list[pytest.Item]) -> None:
    """Of the tests that will take time those that are not chosen. Raises UsageError where no accepted run tells what any
    takes."""
    from mpcore.doctor.choice import Planned, chosen, expected_seconds
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
        quickest = min(expected_seconds(test, estimates) for test in tests.values()) / 60
        raise pytest.UsageError(f"--mp-minutes {minutes:g}: no test takes so little: expected {quickest:.2g} or more")
    others = [item for item, test in tests.items() if test not in found]
    kinds = ", ".join(f"{count} of {kind}" for kind, count in Counter(tests[item].kind for item in others).items())
    took = f"{len(found)} of {len(tests)} tests, which take about {sum(found.values()) / 60:.1f} minutes"
    config.stash[CHOSEN] = f"--mp-minutes {minutes:g}: {took}; left out: {kinds or 'nothing'}"
    if others:
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in others]


def _runs(item: pytest.Item, session: "Session") -> bool:
    """Not where it is skipped already, or will be for a training that is made on request."""
    case = case_of(item)
    on_request = kind_of(item) == "accuracy" and case is not None and not trained(session.options, case.workload)
    return not item.get_closest_marker("skip") and not on_request
