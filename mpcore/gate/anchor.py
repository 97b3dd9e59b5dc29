"""Slow drift: a run that is no worse than those before it, and worse than where they began."""

from collections.abc import Sequence
from dataclasses import replace

from mpcore.gate.common_change import common_change
from mpcore.gate.confirmation import confirmed
from mpcore.gate.margins import Policy
from mpcore.gate.matching import BaselineMatch, match_baselines
from mpcore.gate.priors import SHIPPED
from mpcore.gate.regressions import regressions
from mpcore.records import ALL_CASES, Calibration, Regression, Run, Speed, Work

SAID = ". That is slow drift since the oldest accepted run"


def drifted(run: Run, baselines: Sequence[Run], policy: Policy, fitted: Calibration | None = None) -> dict[str, Regression]:
    """What is worse than in the anchor, the oldest accepted run since its last reset: the first figure of each record, by its
    name. Nothing of what has one accepted run only, and nothing that a second measurement does not say, too. fitted: as for
    `Judge`."""
    calibration = fitted or SHIPPED.get(run.machine.hardware.key)
    anchored = [(result, match) for result in run.results if (match := _anchored(match_baselines(result.record, baselines)))]
    found = {}
    for result, match in anchored:
        for regression in reversed(_since(match, result.confirmation, policy, calibration)):
            if regression.status == "worse":
                found[match.record.name] = _said(regression)
    common = common_change([match for _, match in anchored], policy.margins(ALL_CASES), calibration)
    return found | ({ALL_CASES: _said(common)} if common and common.status == "worse" else {})


def anchors(runs: Sequence[Run]) -> set[int]:
    """The numbers of the runs that are the oldest since the last reset for any of their records."""
    first: dict[str, int] = {}
    for number, run in enumerate(runs):
        for name in run.accepted.reset if run.accepted else ():
            first.pop(name, None)
        for result in run.results:
            first.setdefault(result.record.name, number)
    return set(first.values())


def _since(
    match: BaselineMatch, confirmation: Speed | str | None, policy: Policy, calibration: Calibration | None
) -> list[Regression]:
    margins = policy.margins(match.record.case.id)
    found = regressions(match, margins, calibration)
    if confirmation is None:
        return found
    if isinstance(confirmation, str):
        return confirmed(found, confirmation)
    return confirmed(found, regressions(replace(match, record=confirmation), margins, calibration))


def _anchored(match: BaselineMatch) -> BaselineMatch | None:
    """Work repeats, and what is compared with the last run exactly cannot drift."""
    if len(match.accepted) < 2 or isinstance(match.record, Work):
        return None
    oldest = min(match.accepted)
    return replace(match, accepted={oldest: match.accepted[oldest]})


def _said(regression: Regression) -> Regression:
    return regression.model_copy(update={"sentence": regression.sentence + SAID})
