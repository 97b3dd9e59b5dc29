"""What a comparison of accuracies can show: what may be lost, whether a loss would be seen, and how far trainings spread."""

import math
from collections.abc import Sequence

from mpcore.gate.digits import told_apart
from mpcore.gate.limits import LEAST_SEEDS, LEAST_TOLERANCE_ROWS, LEAST_TOLERANCES_TO_CEILING, SENSITIVE_SHARE
from mpcore.gate.matching import match_baselines
from mpcore.records import AccuracyProof, Quality, Run


def tolerance_points(quality: Quality, given: float) -> float:
    """What may be lost, in points: what is given, and no less than a few rows of the test set, where rows are counted. A
    tolerance that was set for ten thousand rows is one row of a few hundred."""
    confusion = quality.trainings[0].confusion
    rows = sum(map(sum, confusion)) if confusion else 0
    counted = rows == quality.rows.get("test")
    return max(given, 100 * LEAST_TOLERANCE_ROWS / rows) if given and counted and rows else given


def saturation(quality: Quality) -> str:
    """Why a loss of the tolerance would not be seen, "" where it would. FP32 must lie some tolerances below the ceiling. A
    planted fault of that size must be found, where it was tried."""
    tolerance = tolerance_points(quality, quality.requirements.tolerance_points or 0.0)
    mean = (quality.reference or quality.scores).mean
    if not tolerance or quality.lower_is_better or not math.isfinite(mean):
        return ""
    below, subject = 100 * (1 - mean) / tolerance, quality.case.subject
    name = quality.reference.precision if quality.reference else quality.case.precision
    if below < LEAST_TOLERANCES_TO_CEILING:
        said, _ = told_apart(below, LEAST_TOLERANCES_TO_CEILING, ".1f")
        return (
            f"{subject}: {quality.metric} of {name} is {100 * mean:.2f} %, {said} tolerances of {tolerance:.3g} points "
            f"below the ceiling: under {LEAST_TOLERANCES_TO_CEILING:g} a loss may be hidden"
        )
    tried = quality.sensitivity
    if tried and not tried.fault:
        return f"{subject}: none of the planted faults costs one tolerance of {tolerance:.3g} points"
    if tried and tried.found < SENSITIVE_SHARE * tried.trials:
        return (
            f"{subject}: {tried.fault} was planted, which costs {tried.lost_points or 0:.1f} points where {tolerance:.3g} may "
            f"be lost. It was found {tried.found} times in {tried.trials}, {100 * SENSITIVE_SHARE:.0f} in 100 are needed"
        )
    return ""


def proof_terms(quality: Quality) -> dict[str, str]:
    """What has to be the same for a proof of sensitivity to hold of a training. These are the terms on which two are
    comparable, the size and the tolerance."""
    tolerance = tolerance_points(quality, quality.requirements.tolerance_points or 0.0)
    return {name: str(value) for name, value in quality.terms.items()} | {
        "size": quality.case.size,
        "tolerance": f"{tolerance:.6g}",
    }


def proven(quality: Quality, proofs: Sequence[AccuracyProof]) -> Quality:
    """With the sensitivity that was proved of its workload, unless it has one; the last one that holds counts."""
    terms = proof_terms(quality)
    found = [p.sensitivity for p in proofs if p.workload == quality.case.workload and p.terms == terms]
    return quality.model_copy(update={"sensitivity": found[-1]}) if found and quality.sensitivity is None else quality


def repeated(quality: Quality, runs: Sequence[Run], before: Sequence[Quality]) -> list[list[float]]:
    """How far trainings from the same seeds, of one code, lie from each other in all modes of the workload. Differences are in
    points, in a group for each mode and run. They spread as one training does by itself.

    runs: accepted, each held against those before it; before: of the new run, held against all. Negative controls, and modes
    that lose updates, are left out.
    """
    groups = []
    for mode in _modes(quality, runs, before):
        accepted = [q for q in match_baselines(mode, runs).accepted.values() if isinstance(q, Quality)]
        last = [mode] if mode in before else []
        for number, one in enumerate([*accepted, *last]):
            others = accepted[:number]
            if others:
                groups.append([p / math.sqrt(1 + 1 / len(others)) for p in one.gains([other.scores for other in others])])
    return [group for group in groups if len(group) >= LEAST_SEEDS and all(map(math.isfinite, group))]


def _modes(quality: Quality, runs: Sequence[Run], before: Sequence[Quality]) -> list[Quality]:
    """One record of each mode of the workload but this one: of the new run where it has one, else of the last run."""
    found: dict[str, Quality] = {}
    in_runs = [result.record for run in runs for result in run.results if isinstance(result.record, Quality)]
    for one in (*in_runs, *before):
        required = one.requirements
        same = one.case.in_precision("") == quality.case.in_precision("") and one.case != quality.case
        if same and not required.negative_control and not required.loses_updates:
            found[one.case.precision] = one
    return list(found.values())
