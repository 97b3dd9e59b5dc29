"""One record, and a saved run."""

import pytest
from made import drift, numerics, quality, run, speed, step

from mpcore.gate import SHIPPED, Judge, Policy, judge_run
from mpcore.records import ALL_CASES, Blocks, FailedTest, Pair, PairedConfirmation, Reference, Requirements, Result, Run

ERRORS = Requirements(loss_error=0.01, gradient_error=0.1, update_error=0.2, low_precision_share=(0.5, 1.0))
ACCEPTED = [
    run(step(ms), numerics(), datetime=f"2026-01-0{day}T00:00:00+00:00") for day, ms in enumerate((10.0, 10.02, 9.98), 1)
]
DEFAULT = Policy()
WORKLOADS = [f"w{i}" for i in range(5)]


def loose(**margins):
    """A policy with these margins for all cases."""
    return Policy(margin_settings=[("*", margins)])


def made(*records, baselines=ACCEPTED, policy=DEFAULT, confirmations=(), strict=False):
    """A run as a session makes it. confirmations: by the name of a record."""
    judge, results = Judge(baselines, policy), []
    for record in records:
        results.append(judge.judge(record, results, dict(confirmations).get(record.name)))
    common = judge.common(results)
    failed = [failure(r.record.name, j, strict) for r in results for j in r.judgements if fails(j, strict)]
    if common and fails(common, strict):
        failed.append(FailedTest(test=ALL_CASES, sentence=common.sentence, strict=common.passed))
    return run(datetime="2026-02-03T04:05:06+00:00", results=tuple(results), failed=tuple(failed), common=common)


def fails(judgement, strict):
    return not judgement.passed or (strict and getattr(judgement, "open", False))


def failure(name, judgement, strict):
    return FailedTest(test=f"test.py::test[{name}]", name=name, sentence=judgement.sentence, strict=judgement.passed)


def statuses(result):
    return {judgement.metric: judgement.status for judgement in result.judgements}


def everything():
    """A run with one of each kind of trouble."""
    trained = quality("fp16-amp", 0.8, 0.81, 0.79, fp32=[0.9] * 3, requirements=Requirements(tolerance_points=1.0))
    beats = Requirements(must_beat=("fp32",))
    return made(
        step(10.5),
        step(10.0, precision="bf16-amp"),
        trained,
        numerics(gradient_error=0.2, requirements=ERRORS),
        speed(fp32=(2.02, 2.03, 2.01), requirements=beats),
        drift(fp32=0.5),
        confirmations={step(10.5).name: step(10.4)},
    )


def test_a_record_is_judged_by_what_it_requires_and_against_accepted_runs():
    result = Judge(ACCEPTED, DEFAULT).judge(numerics(gradient_error=0.2, requirements=ERRORS))
    assert {check.metric: check.status for check in result.checks} == {
        "loss error": "passed",
        "gradient error": "failed",
        "update error": "passed",
        "16-bit share": "passed",
    }
    assert {r.metric: r.status for r in result.regressions}["gradient error"] == "worse"
    assert not result.passed


def test_margins_are_those_of_the_policy():
    record = step(10.5)
    assert statuses(Judge(ACCEPTED, DEFAULT).judge(record))["step time"] == "worse"
    assert statuses(Judge(ACCEPTED, loose(step_time=20)).judge(record))["step time"] == "same"
    assert statuses(Judge(ACCEPTED, Policy([("resnet*", {"step_time": 20})])).judge(record))["step time"] == "worse"


def test_caps_of_the_policy_decide_and_the_record_keeps_what_was_computed():
    policy = Policy(cap_settings=[("*", {"gradient_error": 0.3, "flushed_share": 0.0})])
    record = numerics(gradient_error=0.2, flushed_share=0.5, requirements=ERRORS)
    result = Judge([], policy).judge(record)
    assert {check.metric: check.limit for check in result.checks if check.metric != "16-bit share"} == {
        "loss error": 0.01,
        "gradient error": 0.3,
        "update error": 0.2,
    }
    assert all(check.passed for check in result.checks)
    assert result.record == record


def test_a_second_measurement_decides_and_is_kept():
    judge = Judge(ACCEPTED, DEFAULT)
    slow, again, chance = step(10.5), step(10.4), step(10.0)
    assert statuses(judge.judge(slow, confirmation=again))["step time"] == "worse"
    result = judge.judge(slow, confirmation=chance)
    assert (statuses(result)["step time"], result.confirmation, result.record) == ("undecided", chance, slow)
    failed = judge.judge(slow, confirmation="it finds no memory")
    assert "It could not be measured again: it finds no memory" in failed.regressions[0].sentence


def test_records_before_it_say_more_of_a_record():
    judge = Judge([], DEFAULT)
    faster = judge.judge(speed(requirements=Requirements(must_beat=("fp32",))))
    assert statuses(judge.judge(drift(fp32=0.6), [faster])) == {"drift": "failed"}
    assert statuses(judge.judge(drift(fp32=0.6), [])) == {"drift": "passed"}


def shared(factor):
    """A run in which all cases take that much longer, and the runs it is compared with."""
    baselines = [
        run(*(step(10.0 + r / 100, workload=w) for w in WORKLOADS), datetime=f"2026-01-0{r + 1}T00:00:00+00:00")
        for r in range(3)
    ]
    return made(*(step(10.0 * factor, workload=w) for w in WORKLOADS), baselines=baselines), baselines


def test_what_all_cases_share_is_judged_over_the_results():
    slow, baselines = shared(1.05)
    judge = Judge(baselines, DEFAULT)
    assert judge.common(slow.results).status == "worse"
    assert judge.common(slow.results[:3]) is None
    assert Judge(baselines, loose(step_time=20)).common(slow.results).status == "same"


@pytest.mark.parametrize("stored", [False, True])
def test_a_run_that_is_judged_again_by_the_same_is_the_same(stored):
    before = everything()
    if stored:
        before = Run.model_validate_json(before.model_dump_json())
    assert {j.status for result in before.results for j in result.judgements} > {"failed", "worse", "new", "passed"}
    assert judge_run(before, ACCEPTED, DEFAULT) == before
    slow, baselines = shared(1.05)
    assert slow.common.status == "worse"
    assert judge_run(slow, baselines, DEFAULT) == slow


def test_a_run_is_not_compared_with_itself():
    before = everything()
    assert judge_run(before, [*ACCEPTED, before], DEFAULT) == before


def test_other_baselines_are_another_judgement():
    before = everything()
    after = judge_run(before, [], DEFAULT)
    assert [statuses(run.results[0]).get("speed") for run in (before, after)] == [None, "new"]
    assert [step(10.5).name in {test.name for test in run.failed} for run in (before, after)] == [True, False]


def test_a_failure_goes_with_its_cause():
    before = made(step(10.5))
    assert [test.name for test in before.failed] == [step(10.5).name]
    after = judge_run(before, ACCEPTED, loose(step_time=20))
    assert (after.failed, after.results[0].passed) == ((), True)


def test_a_new_failure_is_called_by_its_record():
    before = made(step(10.5), policy=loose(step_time=20))
    assert before.failed == ()
    (failed,) = judge_run(before, ACCEPTED, DEFAULT).failed
    assert (failed.test, failed.name, failed.strict) == (step(10.5).name, step(10.5).name, False)
    assert "a step of fp16-amp takes 10.5 ms" in failed.sentence


def test_a_failure_that_stays_keeps_its_test_and_says_what_is_so_now():
    before = made(step(12.0))
    (failed,) = judge_run(before, ACCEPTED, loose(step_time=3)).failed
    assert failed.test == before.failed[0].test
    assert "The margin is 3 %" in failed.sentence


@pytest.mark.parametrize(
    "other",
    [
        FailedTest(test="test.py::test[gone]", name="speed:gone", sentence="it finds no memory"),
        FailedTest(test="test.py::test_of_no_case", sentence="AssertionError"),
        FailedTest(test="test.py::test[x]", name=step(10.5).name, sentence="its teardown failed"),
    ],
)
def test_what_failed_for_another_reason_stays(other):
    before = made(step(10.5), policy=loose(step_time=20)).model_copy(update={"failed": (other,)})
    assert judge_run(before, ACCEPTED, loose(step_time=30)).failed == (other,)


def test_a_strict_failure_goes_where_nothing_is_open():
    before = made(step(10.15), strict=True)
    assert [test.strict for test in before.failed] == [True]
    assert judge_run(before, ACCEPTED, DEFAULT) == before
    assert judge_run(before, ACCEPTED, loose(step_time=20)).failed == ()
    (failed,) = judge_run(before, ACCEPTED, loose(step_time=0.1)).failed
    assert (failed.strict, failed.test) == (False, before.failed[0].test)


def test_all_cases_fail_and_pass_like_a_test():
    slow, baselines = shared(1.05)
    assert ALL_CASES in [test.test for test in slow.failed]
    relaxed = judge_run(slow, baselines, loose(step_time=20))
    assert (relaxed.failed, relaxed.common.status) == ((), "same")
    tight = judge_run(relaxed, baselines, DEFAULT)
    assert (tight.common, tight.results) == (slow.common, slow.results)
    assert {(test.test, test.name) for test in tight.failed} == {(ALL_CASES, "")} | {
        (r.record.name, r.record.name) for r in slow.results
    }


def test_a_kind_of_gpu_is_known_or_calibrated():
    other = [on("A new GPU", baseline) for baseline in ACCEPTED]
    assert statuses(Judge(other, DEFAULT).judge(step(10.5)))["step time"] == "undecided"
    found = SHIPPED["nvidia-h200"].model_copy(update={"hardware": "a-new-gpu"})
    assert statuses(Judge(other, DEFAULT, found).judge(step(10.5)))["step time"] == "worse"
    wide = found.model_copy(update={"steady_log_sd": 0.05})
    assert statuses(Judge(ACCEPTED, DEFAULT, wide).judge(step(10.5)))["step time"] == "undecided"


def on(name, of):
    hardware = of.machine.hardware.model_copy(update={"name": name})
    return of.model_copy(update={"machine": of.machine.model_copy(update={"hardware": hardware})})


# A reference that got better


def beside(ms, fp32):
    """A graph's step, and what FP32's took."""
    blocks = Blocks(steps=1, seconds=(fp32 / 1e3,) * 3)
    return step(ms, references={"fp32": Reference(blocks=blocks, rounds=None)}, requirements=Requirements(must_beat=("fp32",)))


@pytest.mark.parametrize(
    ("ms", "fp32", "status"),
    [
        (10.0, 9.5, "expected_failure"),
        (10.0, 20.0, "passed"),
        (10.5, 9.5, "failed"),  # it is slower itself
        (10.0, 10.0, "expected_failure"),
    ],
)
def test_a_reference_that_became_faster_fails_no_mode(ms, fp32, status):
    accepted = [run(beside(10.0, 20.0), datetime=f"2026-01-0{day}T00:00:00+00:00") for day in (1, 2, 3)]
    result = Judge(accepted, DEFAULT).judge(beside(ms, fp32))
    (check,) = (check for check in result.checks if check.metric == "speed-up over fp32")
    assert check.status == status
    assert ("fp32 takes 52.5 % less than in the oldest accepted run" in check.sentence) == (
        (status, fp32) == ("expected_failure", 9.5)
    )


def test_a_mode_that_never_was_faster_is_not_excused():
    accepted = [run(beside(10.0, 9.8), datetime=f"2026-01-0{day}T00:00:00+00:00") for day in (1, 2, 3)]
    assert statuses(Judge(accepted, DEFAULT).judge(beside(10.0, 9.5)))["speed-up over fp32"] == "failed"
    assert statuses(Judge([], DEFAULT).judge(beside(10.0, 9.5)))["speed-up over fp32"] == "failed"


@pytest.mark.parametrize(
    ("fp32", "own", "status"),
    [(0.65, 0.60, "expected_failure"), (0.65, 0.50, "failed"), (0.605, 0.60, "passed")],
)
def test_a_reference_that_became_more_accurate_fails_no_mode(fp32, own, status):
    required = Requirements(tolerance_points=2.0)

    def trained(own, fp32):
        return quality(
            "fp16-amp", own, own + 0.001, own - 0.001, fp32=[fp32, fp32 + 0.001, fp32 - 0.001], requirements=required
        )

    result = Judge([run(trained(0.60, 0.605))], DEFAULT).judge(trained(own, fp32))
    assert result.checks[0].status == status
    assert ("fp32 gained 4.50 since the oldest accepted run" in result.checks[0].sentence) == (status == "expected_failure")


def pairs_of(ratio, *cases, other_software="", apart=1e-4):
    """Pairs in which each of the cases takes so many times as long as in the accepted commit."""
    pairs = [Pair(base_seconds=0.01, head_seconds=0.01 * ratio * (1 + (-1) ** n * apart), head_first=False) for n in range(6)]
    return PairedConfirmation(commit="1a8eef83", pairs=dict.fromkeys(cases, pairs), other_software=other_software)


def test_against_one_accepted_run_a_machine_must_be_surer_than_pairs():
    one, slow = Judge([run(step(10.0))], DEFAULT), step(10.22)
    assert statuses(one.judge(slow))["step time"] == "worse"
    assert statuses(one.judge(slow, confirmation=slow, pairs="a shallow clone"))["step time"] == "undecided"
    again = one.judge(slow, confirmation=slow, pairs=pairs_of(1.022, slow.case.id))
    assert statuses(again)["step time"] == "worse"
    assert "+2.2 %" in again.regressions[0].sentence
    assert statuses(one.judge(step(11.0), confirmation=step(11.0)))["step time"] == "worse"


@pytest.mark.parametrize(
    ("ratio", "software", "status", "said"),
    [
        (1.03, "", "worse", "the code"),
        (1.0, "", "undecided", "The software is the same, so that it is the machine"),
        (1.0, "torch 2.11 there, 2.13 here", "worse", "the machine or the software (torch 2.11 there, 2.13 here)"),
    ],
)
def test_what_all_cases_share_is_of_the_code_the_machine_or_the_software(ratio, software, status, said):
    runs = [
        run(*(step(10.0, workload=name) for name in WORKLOADS), datetime=f"2026-01-0{day}T00:00:00+00:00") for day in (1, 2, 3)
    ]
    judge, slow = Judge(runs, DEFAULT), [Result(record=step(10.3, workload=name)) for name in WORKLOADS]
    assert judge.common(slow).status == "worse"
    quickest = [speed.case.id for speed in judge.quickest(slow)]
    assert len(quickest) == 4
    common = judge.common(slow, pairs_of(ratio, *quickest, other_software=software))
    assert (common.status, common.sentence.endswith(said)) == (status, True)
    saved = runs[0].model_copy(
        update={"results": tuple(slow), "common_pairs": pairs_of(ratio, *quickest), "datetime": "2026-02-01"}
    )
    assert judge_run(saved, runs, DEFAULT).common.status == ("worse" if ratio > 1 else "undecided")


def test_all_cases_together_are_confirmed_beside_the_run_that_most_of_them_have():
    parts = [
        run(*(step(10.0, workload=name) for name in names), datetime=f"2026-01-0{day}T00:00:00+00:00")
        for day, names in enumerate((WORKLOADS[:4], WORKLOADS[4:]), 1)
    ]
    judge, slow = Judge(parts, DEFAULT), [Result(record=step(10.3, workload=name)) for name in WORKLOADS]
    quickest = judge.quickest(slow)
    assert {speed.case.workload for speed in quickest} == set(WORKLOADS[:4])
    assert {judge.accepted_run(speed).datetime for speed in quickest} == {parts[0].datetime}
    assert Judge([], DEFAULT).quickest(slow) == []


def test_pairs_that_differ_too_much_confirm_nothing():
    judge, slow = Judge(ACCEPTED, DEFAULT), step(10.5)
    result = judge.judge(slow, confirmation=slow, pairs=pairs_of(1.03, slow.case.id, apart=0.05))
    assert statuses(result)["step time"] == "undecided"
    assert result.regressions[0].sentence.endswith("That does not confirm that it is the code")


def test_the_spread_of_modes_that_come_later_is_known_from_accepted_runs():
    """From the same seeds its own is the same trainings once more, and tells nothing."""
    required = Requirements(tolerance_points=1.5, low_precision_share=(0.5, 1.0))

    def trained(precision, *points, **changes):
        scores = [0.9 + point / 100 for point in points]
        return quality(precision, *scores, fp32=[0.9] * 3, requirements=required, **changes)

    own, other = trained("fp16-amp", -0.6, 0.0, 0.6), trained("bf16-amp", -0.5, 0.1, 0.4)
    spread = {
        "alone": Judge([], DEFAULT).judge(own),
        "its own": Judge([run(own)], DEFAULT).judge(own),
        "another": Judge([run(other)], DEFAULT).judge(own),
        "other data": Judge([run(trained("bf16-amp", -0.5, 0.1, 0.4, data="imdb"))], DEFAULT).judge(own),
        "measured": Judge([run(other)], DEFAULT).judge(own, [Result(record=other)]),
        "beside its speed": Judge([run(other)], DEFAULT).judge(own, [Result(record=speed(case=other.case))]),
    }
    found = {name: result.checks[0].status for name, result in spread.items()}
    decided = dict.fromkeys(("another", "measured", "beside its speed"), "passed")
    assert found == dict.fromkeys(("alone", "its own", "other data"), "inconclusive") | decided
    assert spread["another"].checks[0].sentence == spread["measured"].checks[0].sentence


@pytest.mark.parametrize(("pooled", "status"), [((), "inconclusive"), (("bf16-amp",), "passed")])
def test_a_saved_run_is_judged_by_the_spreads_that_its_session_knew(pooled, status):
    required = Requirements(tolerance_points=1.5, low_precision_share=(0.5, 1.0))
    own = quality("fp16-amp", 0.894, 0.9, 0.906, fp32=[0.9] * 3, requirements=required)
    later = quality("bf16-amp", 0.895, 0.901, 0.904, fp32=[0.9] * 3, requirements=required)
    names = tuple(later.name for _ in pooled)
    saved = run(results=(Result(record=own, pooled=names), Result(record=later)))
    first, _ = judge_run(saved, [], DEFAULT).results
    assert (first.checks[0].status, first.pooled) == (status, names)
