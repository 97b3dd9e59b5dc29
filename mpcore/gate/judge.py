"""From measurements to judgements, of one record or of a whole run. Nothing is measured, and no file is read."""

from collections import defaultdict
from collections.abc import Sequence

from mpcore.gate.accuracy import proven, repeated
from mpcore.gate.better_reference import better_reference
from mpcore.gate.checks import checks
from mpcore.gate.common_change import common_change
from mpcore.gate.confirmation import caused, common_caused, confirmed
from mpcore.gate.limits import COMMON_CHANGE_CASES, ONE_RUN_CONFIDENCE, WORSE_CONFIDENCE
from mpcore.gate.margins import Policy
from mpcore.gate.matching import match_baselines
from mpcore.gate.priors import SHIPPED
from mpcore.gate.regressions import how_run, regressions
from mpcore.records import (
    ALL_CASES,
    AccuracyProof,
    AnyRecord,
    Calibration,
    Check,
    FailedTest,
    PairedConfirmation,
    Quality,
    Regression,
    Result,
    Run,
    Speed,
)

Judgements = dict[str, list[Check | Regression]]
"""By the name of a record, or `ALL_CASES`."""


class Judge:
    """Judges records by what they require, against accepted runs, with the margins and caps of a policy. calibration: of the
    kind of GPU, where the user has one; else what is known of it. proofs: of the sensitivity of trainings there."""

    def __init__(
        self,
        baselines: Sequence[Run],
        policy: Policy,
        calibration: Calibration | None = None,
        proofs: Sequence[AccuracyProof] = (),
    ) -> None:
        self.baselines = tuple(baselines)
        self.policy = policy
        self.proofs = tuple(proofs)
        hardware = self.baselines[-1].machine.hardware.key if self.baselines else ""
        self.calibration = calibration or SHIPPED.get(hardware)

    def judge(
        self,
        record: AnyRecord,
        before: Sequence[Result] = (),
        confirmation: Speed | str | None = None,
        pairs: PairedConfirmation | str | None = None,
    ) -> Result:
        """before: the results of the same run that were measured earlier. confirmation: a second measurement of the case, or
        why there is none. pairs: the case beside the accepted commit, or why not."""
        record = proven(record, self.proofs) if isinstance(record, Quality) else record
        caps = self.policy.caps(record.case.id)
        capped = record.model_copy(update={"requirements": caps.over(record.requirements)})
        match, found = match_baselines(record, self.baselines), self._regressions(record, before)
        if confirmation is not None:
            lone = len(match.accepted) == 1 and isinstance(pairs, str)
            sure = ONE_RUN_CONFIDENCE if lone else WORSE_CONFIDENCE
            again = confirmation if isinstance(confirmation, str) else self._regressions(confirmation, before, sure)
            found = confirmed(found, again)
        if pairs is not None and isinstance(record, Speed):
            found = caused(found, pairs, record, self.policy.margins(record.case.id))
        return Result(
            record=record,
            confirmation=confirmation,
            pairs=pairs,
            checks=tuple(better_reference(checks(capped, self._known(record, before)), match, found)),
            regressions=tuple(found),
        )

    def common(self, results: Sequence[Result], pairs: PairedConfirmation | str | None = None) -> Regression | None:
        """What all cases of a run share; None where they are too few. pairs: some of them beside the accepted commit, or why
        not."""
        matches = [match_baselines(r.record, self.baselines) for r in results if isinstance(r.record, Speed)]
        margins = self.policy.margins(ALL_CASES)
        found = common_change(matches, margins, self.calibration)
        return found if found is None or pairs is None else common_caused(found, pairs, margins)

    def accepted_run(self, record: AnyRecord) -> Run | None:
        """The last one that `record` is compared with."""
        numbers = match_baselines(record, self.baselines).accepted
        return self.baselines[max(numbers)] if numbers else None

    def quickest(self, results: Sequence[Result]) -> list[Speed]:
        """As many graphs as show what all cases share. They have the last accepted run in common that most of them have."""
        by_run: dict[int, list[Speed]] = defaultdict(list)
        for speed in (result.record for result in results if isinstance(result.record, Speed)):
            numbers = match_baselines(speed, self.baselines).accepted
            if numbers and how_run(speed) == "graph":
                by_run[max(numbers)].append(speed)
        _, most = max(by_run.items(), key=lambda found: (len(found[1]), found[0]), default=(0, []))
        return sorted(most, key=lambda speed: speed.blocks.step_seconds)[:COMMON_CHANGE_CASES]

    def _known(self, record: AnyRecord, before: Sequence[Result]) -> Sequence[Result]:
        """`before`; and of a training's other modes, which come later, what the last accepted run with each has. Their spread
        is known then. Of its own mode it is not: from the same seeds it would be counted twice."""
        if not isinstance(record, Quality):
            return before
        measured = {record.case, *(result.record.case for result in before if _trained(result))}
        accepted = {result.record.case: result for run in self.baselines for result in run.results if _trained(result)}
        return [*before, *(result for case, result in accepted.items() if case not in measured)]

    def _regressions(
        self, record: AnyRecord, before: Sequence[Result], confidence: float = WORSE_CONFIDENCE
    ) -> list[Regression]:
        margins, match = self.policy.margins(record.case.id), match_baselines(record, self.baselines)
        if not isinstance(record, Quality):
            return regressions(match, margins, self.calibration, confidence=confidence)
        earlier = [result.record for result in before if isinstance(result.record, Quality)]
        return regressions(match, margins, self.calibration, repeated(record, self.baselines, earlier))


def _trained(result: Result) -> bool:
    return isinstance(result.record, Quality)


def judge_run(
    run: Run,
    baselines: Sequence[Run],
    policy: Policy,
    calibration: Calibration | None = None,
    proofs: Sequence[AccuracyProof] = (),
) -> Run:
    """A saved run, judged again from its measurements. It is not compared with itself, if it is among the baselines."""
    others = [other for other in baselines if (other.datetime, other.commit) != (run.datetime, run.commit)]
    judge = Judge(others, policy, calibration, proofs)
    results: list[Result] = []
    for result in run.results:  # in their order: each with those before it
        known = [*results, *(other for other in run.results if other.record.name in result.pooled)]
        judged_again = judge.judge(result.record, known, result.confirmation, result.pairs)
        results.append(judged_again.model_copy(update={"cost": result.cost, "pooled": result.pooled}))
    judged = run.model_copy(update={"results": tuple(results), "common": judge.common(results, run.common_pairs)})
    return judged.model_copy(update={"failed": _failed(run, judged)})


def _failed(before: Run, after: Run) -> tuple[FailedTest, ...]:
    """Tests whose judgements are as they were stay as they are: those without a result, and those that failed for another
    reason. The others fail where a judgement does now."""
    then, now = _judgements(before), _judgements(after)
    kept = [_again(test, then, now) for test in before.failed]
    known = {test.name or test.test for test in before.failed}
    added = [
        FailedTest(test=name, name="" if name == ALL_CASES else name, sentence=sentence)
        for name, found in now.items()
        if name not in known and (sentence := _sentence(found)) and not _sentence(then.get(name, []))
    ]
    return (*filter(None, kept), *added)


def _again(test: FailedTest, then: Judgements, now: Judgements) -> FailedTest | None:
    """The failure of a test as it is now; None where it fails no more."""
    name = test.name or test.test
    before, after = (_sentence(found.get(name, []), strict=test.strict) for found in (then, now))
    if before == after:
        return test
    if not after:
        return None
    strict = test.strict and not _sentence(now[name])
    return test.model_copy(update={"sentence": after, "strict": strict})


def _judgements(run: Run) -> Judgements:
    found: Judgements = {}
    for result in run.results:
        found.setdefault(result.record.name, []).extend(result.judgements)
    return found | ({ALL_CASES: [run.common]} if run.common else {})


def _sentence(judgements: Sequence[Check | Regression], *, strict: bool = False) -> str:
    """Those of the judgements that fail. strict: also what is open."""
    return " ".join(j.sentence for j in judgements if not j.passed or (strict and isinstance(j, Regression) and j.open))
