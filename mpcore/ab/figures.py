"""All that is judged besides time: memory of an eager step, numerics, compilation, work, and accuracy on request. By the gate's
own functions, with base in the place of an accepted run."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing

from mpcore.ab.processes import start
from mpcore.ab.revisions import Checkout
from mpcore.ab.work import ONE_THREAD
from mpcore.gate.accuracy import proven
from mpcore.gate.checks import checks
from mpcore.gate.margins import Policy
from mpcore.gate.matching import BaselineMatch, differing
from mpcore.gate.regressions import regressions
from mpcore.gate.work import work_regressions
from mpcore.records import (
    AccuracyProof,
    Case,
    Failure,
    Numerics,
    Parallel,
    Quality,
    Regression,
    RegressionStatus,
    Selection,
    Speed,
    Work,
)
from mpcore.records.protocol import RequestKind
from mpcore.report.text import counted
from mpcore.runner import Measured
from mpcore.runner.runner import CASE_SECONDS, TRAINING_SECONDS

FIGURES: tuple[RequestKind, ...] = ("speed", "numerics", "parallel", "work")
IN_PAIRS = ("step time", "graph memory")
"""Metrics that pairs have judged."""
BASE = (("the last accepted run", "base"), ("the accepted run", "base"), ("accepted runs", "base"))
"""What the gate calls that which it compares with."""
Judged = Speed | Numerics | Quality | Parallel
Progress = Callable[[str], None]
Records = Mapping[tuple[RequestKind, Case], Measured]
Measure = Callable[[Checkout, Selection, Sequence[Case], Sequence[RequestKind]], Records]


def measure(side: Checkout, selection: Selection, cases: Sequence[Case], kinds: Sequence[RequestKind]) -> Records:
    """In one fresh process, or launch. What its commit is too old to measure is left out. Raises RunnerError."""
    found: dict[tuple[RequestKind, Case], Measured] = {}
    with closing(start(side, selection, ONE_THREAD)) as process:
        known = process.listing().kinds
        for kind in kinds:
            if kind in known:
                asked = [case for case in cases if _applies(kind, case)]
                seconds = TRAINING_SECONDS if kind == "accuracy" else CASE_SECONDS
                records = process.measure(asked, kind=kind, seconds=seconds)
                found |= {(kind, case): record for case, record in records.items()}
    return found


def _applies(kind: RequestKind, case: Case) -> bool:
    """A gradient that ranks average is compared with FP64 by what they have in common."""
    return kind != ("numerics" if case.spread else "parallel")


def figures(
    sides: tuple[Checkout, Checkout],
    selection: Selection,
    cases: Sequence[Case],
    policy: Policy,
    progress: Progress,
    *,
    accuracy: bool,
    measure: Measure = measure,
    proofs: Sequence[AccuracyProof] = (),
) -> tuple[dict[Case, list[Regression]], dict[str, str]]:
    """By case, a regression of each figure; and by case, what failed in head alone. accuracy: trains, too. proofs: of the
    sensitivity of trainings here."""
    if not cases:
        return {}, {}
    kinds = (*FIGURES, "accuracy") if accuracy else FIGURES
    asked = [kind for kind in kinds if any(_applies(kind, case) for case in cases)]
    progress(f"what else is judged of {counted(len(cases), 'case')}, in base and head: {', '.join(asked)}")
    base, head = (measure(side, selection, cases, kinds) for side in sides)
    found: dict[Case, list[Regression]] = {case: [] for case in cases}
    failures: dict[str, str] = {}
    for (kind, case), after in head.items():
        before = base.get((kind, case))
        if isinstance(after, Failure) and before is not None and not isinstance(before, Failure):
            failures[case.id] = f"head: {kind}: {after.sentence}"
        elif before is not None:
            found[case] += judged(before, after, policy, proofs)
    return found, failures


def judged(base: Measured, head: Measured, policy: Policy, proofs: Sequence[AccuracyProof] = ()) -> list[Regression]:
    """A regression of each figure of two records of one case; none where they cannot be compared, or failed. proofs: of the
    sensitivity of trainings here."""
    if isinstance(head, Work) and isinstance(base, Work):
        return list(work_regressions(base, head))
    if not (isinstance(base, Judged) and isinstance(head, Judged)) or base.kind != head.kind:
        return []
    if differing(base.terms, head.terms):
        return []
    head = proven(head, proofs) if isinstance(head, Quality) else head
    found = regressions(BaselineMatch(head, {0: base}, base), policy.margins(head.case.id), None)
    compared = [_against_base(of) for of in found if of.metric not in IN_PAIRS]
    if isinstance(base, Numerics | Parallel):
        compared += _lost(base, head, policy)
    return compared


def _lost(base: Judged, head: Judged, policy: Policy) -> list[Regression]:
    """What must be reached, by tensors of their own and by ranks too, and is in base alone. What is not finite is a check only
    there."""
    caps = policy.caps(head.case.id)
    capped = [one.model_copy(update={"requirements": caps.over(one.requirements)}) for one in (base, head)]
    before, after = ({check.metric: check for check in checks(one)} for one in capped)
    found = []
    for metric, check in after.items():
        was = before.get(metric)
        status: RegressionStatus = "worse" if not check.passed and (was is None or was.passed) else "same"
        said = f"{check.sentence}; in base it passes" if status == "worse" else check.sentence
        fields = check.model_dump(include={"kind", "case", "value", "limit"})
        found.append(Regression(**fields, metric=f"{metric} limit", status=status, sentence=said))
    return found


def _against_base(regression: Regression) -> Regression:
    sentence = regression.sentence
    for accepted, base in BASE:
        sentence = sentence.replace(accepted, base)
    return regression.model_copy(update={"sentence": sentence})
