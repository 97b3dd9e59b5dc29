"""What a comparison of accuracies can show."""

import math

import pytest
from made import quality, run, training

from mpcore.gate import Judge, Policy, judge_run, saturation
from mpcore.gate.accuracy import proof_terms, repeated, tolerance_points
from mpcore.records import AccuracyProof, Requirements, Sensitivity

TWO_POINTS = Requirements(tolerance_points=2.0)
DEFAULT = Policy()


def trained(*accuracies, fp32=None, precision="fp16-amp", **changes):
    return quality(precision, *accuracies, fp32=fp32, **{"requirements": TWO_POINTS} | changes)


def status(record, *accepted):
    (regression,) = Judge([run(old) for old in accepted], DEFAULT).judge(record).regressions
    return regression.status


@pytest.mark.parametrize(
    ("fp32", "expected"), [((1.0, 1.0, 1.0), "saturated"), ((0.91, 0.92, 0.91), "saturated"), ((0.89, 0.90, 0.89), "same")]
)
def test_where_fp32_is_near_the_ceiling_nothing_is_the_same(fp32, expected):
    record = trained(*fp32, fp32=fp32)
    assert status(record, record, record) == expected
    (check,) = Judge([], DEFAULT).judge(record).checks
    assert (check.status, check.passed) == ("saturated" if expected == "saturated" else "passed", True)
    assert bool(saturation(record)) == (expected == "saturated")


def test_a_loss_that_is_seen_at_the_ceiling_is_one():
    full = trained(1.0, 1.0, 1.0, fp32=(1.0, 1.0, 1.0))
    assert status(trained(0.9, 0.9, 0.9, fp32=(1.0, 1.0, 1.0)), full) == "worse"


def test_the_sentence_says_how_far_the_ceiling_is():
    record = trained(0.99, 0.99, 0.99, fp32=(0.98, 0.98, 0.98))
    assert saturation(record) == (
        "bert-imdb: accuracy of fp32 is 98.00 %, 1.0 tolerances of 2 points below the ceiling: under 5 a loss may be hidden"
    )


@pytest.mark.parametrize(("found", "said"), [(19, False), (18, True)])
def test_a_planted_fault_must_be_found_19_times_in_20(found, said):
    fault = {"fault": "a fifth of the steps skipped", "lost_points": 2.5}
    proof = Sensitivity(tolerances_to_ceiling=40, found=found, trials=20, **fault)
    record = trained(0.2, 0.2, 0.2, fp32=(0.2, 0.2, 0.2), sensitivity=proof)
    assert bool(saturation(record)) == said
    sentence = (
        "bert-imdb: a fifth of the steps skipped was planted, which costs 2.5 points where 2 may be lost. It was found 18 "
        "times in 20, 95 in 100 are needed"
    )
    assert saturation(record) == (sentence if said else "")


def test_a_perplexity_has_no_ceiling():
    record = trained(2.9, 2.9, 2.9, lower_is_better=True)
    assert saturation(record) == ""


def test_what_has_no_tolerance_or_no_number_is_not_asked():
    assert saturation(trained(1.0, 1.0, 1.0, requirements=Requirements())) == ""
    assert saturation(trained(math.nan, 1.0, 1.0)) == ""


def counted(rows, pixels=1):
    """Trainings that are tested on so many rows, each of so many units."""
    half = rows * pixels // 2
    confusion = ((half, 0), (0, rows * pixels - half))
    made = tuple(training(seed, 0.5).model_copy(update={"confusion": confusion}) for seed in range(3))
    return trained(0.5, 0.5, 0.5, trainings=made, rows={"train": 8, "test": rows})


@pytest.mark.parametrize(
    ("rows", "given", "allowed"), [(360, 0.3, 4 / 3.6), (360, 2.0, 2.0), (10_000, 0.3, 0.3), (400, 1.0, 1.0), (360, 0.0, 0.0)]
)
def test_a_tolerance_knows_its_rows(rows, given, allowed):
    assert tolerance_points(counted(rows), given) == pytest.approx(allowed)


def test_rows_of_many_units_are_not_counted():
    """Of pictures whose pixels are classified."""
    assert tolerance_points(counted(4, pixels=1000), 0.5) == 0.5
    assert tolerance_points(trained(0.5, 0.5, 0.5), 0.5) == 0.5


# How far trainings spread, over all modes

NOISY = (0.80, 0.81, 0.79)


def modes(*shifts):
    """A run whose modes differ by chance."""
    return [trained(*(a + s for a, s in zip(NOISY, shift, strict=True)), precision=f"m{i}") for i, shift in enumerate(shifts)]


A, B, C = (0.0, 0.004, -0.004), (0.004, 0.0, -0.002), (-0.004, 0.002, 0.0)


def test_the_deviation_is_pooled_over_modes():
    """Of three differences alone the bound is seven standard errors off, and nothing is ever the same."""
    accepted = [run(*modes(A, B, C)), run(*modes(B, C, A)), run(*modes(C, A, B))]
    new = trained(0.805, 0.800, 0.790, precision="m0")
    (alone,) = Judge([run(r.results[0].record) for r in accepted], DEFAULT).judge(new).regressions
    (pooled,) = Judge(accepted, DEFAULT).judge(new).regressions
    assert (alone.status, pooled.status) == ("undecided", "same")
    assert alone.value == pooled.value


def test_each_mode_of_an_accepted_run_is_held_against_the_runs_before():
    accepted = [run(*modes(A, B)), run(*modes(B, C)), run(*modes(C, A))]
    new = modes(A, B)
    groups = repeated(new[0], accepted, [])
    assert len(groups) == 2  # of m1 alone, in the second and the third run
    assert len(repeated(new[0], accepted, [new[1]])) == 3  # and in the new one
    first = [100 * (c - b) / math.sqrt(2) for b, c in zip(B, C, strict=True)]
    assert groups[0] == pytest.approx(first)


def test_modes_that_are_known_to_fail_say_nothing_of_the_others():
    control = trained(0.5, 0.1, 0.9, precision="control", requirements=Requirements(negative_control=True))
    losing = trained(0.5, 0.1, 0.9, precision="losing", requirements=Requirements(loses_updates=True, tolerance_points=1.0))
    accepted = [run(control, losing), run(control, losing)]
    assert repeated(trained(*NOISY), accepted, []) == []


def test_a_proof_of_the_same_training_is_judged_by():
    record = trained(0.5, 0.5, 0.5, fp32=(0.5, 0.5, 0.5))
    failed = Sensitivity(tolerances_to_ceiling=25, found=0, trials=20)
    proofs = [AccuracyProof(workload="bert-imdb", terms=proof_terms(record), sensitivity=failed)]
    result = Judge([run(record)], DEFAULT, proofs=proofs).judge(record)
    assert [judgement.status for judgement in result.judgements] == ["saturated", "saturated"]
    assert result.record.sensitivity == failed
    assert "None of the planted faults costs one tolerance of 2 points" in result.checks[0].sentence
    again = judge_run(run(record), [], DEFAULT, proofs=proofs).results[0]
    assert again.checks[0].status == "saturated"
    wider = trained(0.5, 0.5, 0.5, fp32=(0.5, 0.5, 0.5), requirements=Requirements(tolerance_points=3.0))
    assert Judge([run(wider)], DEFAULT, proofs=proofs).judge(wider).checks[0].status == "passed"
