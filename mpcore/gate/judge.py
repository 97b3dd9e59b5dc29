"""From measurements to judgements, of one record or of a whole run. Nothing is measured, and no file is read."""

from collections.abc import Sequence

from mpcore.gate.accuracy import repeated
from mpcore.gate.better_reference import better_reference
from mpcore.gate.checks import checks
from mpcore.gate.common_change import common_change
from mpcore.gate.confirmation import confirmed
from mpcore.gate.margins import Policy
from mpcore.gate.matching import match_baselines
from mpcore.gate.priors import SHIPPED
from mpcore.gate.regressions import regressions
from mpcore.records import ALL_CASES, AnyRecord, Calibration, Check, FailedTest, Quality, Regression, Result, Run, Speed

Judgements = dict[str, list[Check | Regression]]
"""By the name of a record, or `ALL_CASES`."""


class Judge:
    """Judges records by what they require, against accepted runs, with the margins and caps of a policy. calibration: of the
    kind of GPU, where the user has one; else what is known of it."""

    def __init__(self, baselines: Sequence[Run], policy: Policy, calibration: Calibration | None = None) -> None:
        self.baselines = tuple(baselines)
        self.policy = policy
        hardware = self.baselines[-1].machine.hardware.key if self.baselines else ""
        self.calibration = calibration or SHIPPED.get(hardware)

    def judge(self, record: AnyRecord, before: Sequence[Result] = (), confirmation: Speed | str | None = None) -> Result:
        """before: the results of the same run that were measured earlier. confirmation: a second measurement of the case, or
        why there is none."""
        caps = self.policy.caps(record.case.id)
        capped = record.model_copy(update={"requirements": caps.over(record.requirements)})
        match, found = match_baselines(record, self.baselines), self._regressions(record, before)
        if confirmation is not None:
            again = confirmation if isinstance(confirmation, str) else self._regressions(confirmation, before)
            found = confirmed(found, again)
        return Result(
            record=record,
            confirmation=confirmation,
            checks=tuple(better_reference(checks(capped, before), match, found)),
            regressions=tuple(found),
        )

    def common(self, results: Sequence[Result]) -> Regression | None:
        """What all cases of a run share; None where they are too few."""
        matches = [match_baselines(r.record, self.baselines) for r in results if isinstance(r.record, Speed)]
        return common_change(matches, self.policy.margins(ALL_CASES), self.calibration)

    def _regressions(self, record: AnyRecord, before: Sequence[Result]) -> list[Regression]:
        margins, match = self.policy.margins(record.case.id), match_baselines(record, self.baselines)
        if not isinstance(record, Quality):
            return regressions(match, margins, self.calibration)
        earlier = [result.record for result in before if isinstance(result.record, Quality)]
        return regressions(match, margins, self.calibration, repeated(record, self.baselines, earlier))


def judge_run(run: Run, baselines: Sequence[Run], policy: Policy, calibration: Calibration | None = None) -> Run:
    """A saved run, judged again from its measurements. It is not compared with itself, if it is among the baselines."""
    others = [other for other in baselines if (other.datetime, other.commit) != (run.datetime, run.commit)]
    judge = Judge(others, policy, calibration)
    results: list[Result] = []
    for result in run.results:  # in their order: each with those before it
        judged_again = judge.judge(result.record, results, result.confirmation)
        results.append(judged_again.model_copy(update={"cost": result.cost}))
    judged = run.model_copy(update={"results": tuple(results), "common": judge.common(results)})
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
