"""What must be reached."""

import math

import pytest
from made import drift, entrant, gpu, numerics, parity, quality, race, speed, work

from mpcore.errors import sentences
from mpcore.gate import checks, needs_seeds
from mpcore.gate.intervals import ratio_interval, separate_ratio_interval
from mpcore.gate.limits import DROPPED_BLOCKS_SHARE, OWN_LEARNED_SHARE
from mpcore.kernels.bound import bound
from mpcore.kernels.profile import profile_of
from mpcore.records import Blocks, Check, Compilation, Divergence, Reference, Requirements, Result, TensorErrors
from mpcore.records.quality import OWN_DATA

BEATS_FP32 = Requirements(must_beat=("fp32",))
ERRORS = {"loss_error": 0.01, "gradient_error": 0.1, "update_error": 0.2, "flushed_share": 0.01}
LIMITS = Requirements(**ERRORS, low_precision_share=(0.5, 1.0))
MIXED = Requirements(low_precision_share=(0.5, 1.0), tolerance_points=1.0)


def by_metric(found):
    return {check.metric: check for check in found}


def accuracy(*accuracies, fp32, tolerance=1.0, precision="fp16-amp", before=(), **required):
    """The check of a mode's accuracy."""
    requirements = Requirements(tolerance_points=tolerance, **required)
    trained = quality(precision, *accuracies, fp32=fp32, requirements=requirements)
    (check,) = checks(trained, [Result(record=record) for record in before])
    return check


def test_a_loss_that_falls_is_learning():
    (check,) = checks(speed())
    assert (check.kind, check.case, check.metric) == ("speed", "bert-imdb-fp16-amp-eager-tiny", "learning")
    assert (check.status, check.value, check.limit) == ("passed", 0.5, 0.7)
    assert "bert-imdb: the loss went from 0.7 to 0.5 while fp16-amp" in check.sentence
    assert "must fall" not in check.sentence


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (0.5, 0.5, "from 0.5 to 0.5 while fp16-amp was learning two batches: it must fall by 20 %"),
        (0.5, 0.75, "from 0.5 to 0.75 while fp16-amp was learning two batches: it must fall by 20 %"),
        (0.5, None, "from 0.5 to not finite while fp16-amp was learning two batches: it must be finite"),
        (None, 0.5, "the loss of fp16-amp is not finite in its first steps already, before it learns"),
    ],
)
@pytest.mark.parametrize("must_learn", [True, False])
def test_a_loss_that_does_not_fall_fails(before, after, said, must_learn):
    """One that need not fall is a number, too."""
    (check,) = checks(speed(before, after, requirements=Requirements(must_learn=must_learn)))
    if must_learn or None in (before, after):
        assert check.status == "failed"
        assert check.sentence.endswith(said)
    else:
        assert check.status == "passed"


@pytest.mark.parametrize(
    ("before", "after", "status"),
    [(0.7, 0.55, "passed"), (0.7, 0.65, "failed"), (0.7, 0.71, "failed"), (-1.0, -1.3, "passed"), (-1.0, -0.9, "failed")],
)
def test_a_loss_that_hardly_falls_is_no_learning(before, after, status):
    """Dropout moves it by as much. A log-likelihood may be of either sign."""
    assert checks(speed(before, after))[0].status == status


def test_an_own_step_need_fall_by_less_and_its_author_may_say_that_it_need_not():
    own = Requirements(learned_share=OWN_LEARNED_SHARE)
    assert checks(speed(1.0, 0.85, requirements=own))[0].passed
    (check,) = checks(speed(1.0, 0.95, requirements=own))
    assert not check.passed
    assert check.sentence.endswith("it must fall by 10 %, unless must_learn = False says otherwise")


def test_a_negative_control_need_not_learn():
    (check,) = checks(speed(0.5, None, requirements=Requirements(negative_control=True)))
    assert check.passed
    assert "negative control: the loss went from 0.5 to not finite" in check.sentence


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize(
    ("fp32", "status", "ratio"),
    [((4.0, 4.4, 3.6), "passed", 2.0), ((1.0, 1.1, 0.9), "failed", 0.5), ((1.0, 4.0, 1.0), "inconclusive", 0.796)],
)
def test_a_speedup_is_decided_by_its_whole_interval(fp32, status, ratio, apart):
    check = checks(speed(fp32=fp32, apart=apart, requirements=BEATS_FP32))[1]
    assert (check.metric, check.status, check.limit) == ("speed-up over fp32", status, 1.0)
    assert check.value == pytest.approx(ratio, abs=1e-3)
    assert check.sentence.startswith(f"bert-imdb: fp16-amp is {ratio:g} times as fast as fp32 (99 % interval ")
    assert ("The workload expects it to be faster" in check.sentence) is not check.passed


@pytest.mark.parametrize(("apart", "interval_of"), [(False, ratio_interval), (True, separate_ratio_interval)])
def test_the_interval_is_of_pairs_in_turns_and_of_two_samples_apart(apart, interval_of):
    # the machine slowed both down alike: in turns that cancels out, apart it is noise
    own, fp32 = (1.0, 2.0, 3.0), (3.0, 6.0, 9.1)
    interval = interval_of([s / 4 for s in fp32], [s / 2 for s in own])
    check = checks(speed(seconds=own, fp32=fp32, apart=apart, requirements=BEATS_FP32))[1]
    assert check.value == pytest.approx(interval.centre)
    assert f"(99 % interval {interval.low:.3g} to {interval.high:.3g})" in check.sentence
    assert check.status == ("inconclusive" if apart else "passed")


def test_the_interval_in_turns_is_that_of_the_rounds():
    """Blocks of the case alone are not neighbours of the reference's, nor need there be as many."""
    made = speed(requirements=BEATS_FP32)
    (_, check) = checks(made.model_copy(update={"blocks": Blocks(steps=1, seconds=(9.0, 9.0))}))
    assert check.value == pytest.approx(2)


def test_a_missing_speedup_says_why():
    slow = speed(fp32=(1.0, 1.1, 0.9), requirements=BEATS_FP32)
    (_, check) = checks(slow)
    assert check.sentence.endswith(sentences(". The workload expects it to be faster", bound(slow)))


def test_a_reference_that_was_not_measured_leaves_the_speedup_inconclusive():
    (_, check) = checks(speed(missing={"tf32": "no memory"}, requirements=Requirements(must_beat=("tf32",))))
    assert (check.status, check.passed, check.value) == ("inconclusive", False, None)
    assert check.sentence.endswith("tf32 could not be measured, and so not whether fp16-amp is faster: no memory")


def test_one_block_of_a_reference_says_nothing():
    (_, check) = checks(speed(seconds=(1.0,), fp32=(4.0,), requirements=BEATS_FP32))
    assert check.status == "inconclusive"
    assert check.sentence.endswith("one block says nothing")


def test_where_nothing_must_be_beaten_no_speedup_is_judged():
    assert [check.metric for check in checks(speed(fp32=(1.0, 1.0, 1.0)))] == ["learning"]


def test_without_a_gpu_nothing_is_said_of_its_state():
    assert [check.metric for check in checks(speed(gpu=None, dropped_blocks=3))] == ["learning"]


@pytest.mark.parametrize(
    ("dropped", "kept", "status", "share"),
    [
        (0, 8, "passed", 0.0),
        (2, 8, "passed", 0.25),
        (3, 8, "inconclusive", 0.375),
        (8, 8, "inconclusive", 1.0),
        (20, 8, "inconclusive", 1.0),
    ],
)
def test_a_gpu_that_was_slowed_down_too_often_leaves_a_case_inconclusive(dropped, kept, status, share):
    """Dropped beside the case or beside a reference: it is all the same."""
    slowed = speed(seconds=(1.0,) * kept, gpu=gpu(), dropped_blocks=dropped, apart=True, references={})
    (_, check) = checks(slowed)
    reference = Reference(blocks=Blocks(steps=1, seconds=(1.0,) * (kept - 1)), rounds=None, dropped_blocks=dropped)
    beside = speed(seconds=(1.0,), gpu=gpu(), apart=True, references={"fp32": reference})
    assert checks(beside)[1] == check
    assert (check.metric, check.status, check.value) == ("state of the GPU", status, share)
    assert check.limit == DROPPED_BLOCKS_SHARE
    assert check.passed is (status == "passed")
    assert f"slowed down in {dropped} rounds of blocks, {kept} are kept" in check.sentence


@pytest.mark.parametrize(
    ("limits", "words"), [((), "none"), (("power cap", "thermal slowdown"), "power cap, thermal slowdown")]
)
def test_what_held_the_gpu_back_is_named(limits, words):
    (_, check) = checks(speed(gpu=gpu(*limits)))
    assert f"(what held its clock back: {words})" in check.sentence


@pytest.mark.parametrize(
    ("theirs", "status"),
    [
        ((4.0, 4.4, 3.6), "passed"),  # 2 to the letter
        ((2.0, 2.2, 1.8), "failed"),  # 1
        ((4.0, 2.9, 3.6), "passed"),  # 1.0 to 3.3, most likely above 1.5: no proof that it is slower
        ((4.0, 1.5, 2.0), "inconclusive"),  # 0.05 to 27, most likely below
    ],
)
def test_a_parity_is_decided_by_its_interval_and_then_its_centre(theirs, status):
    check, state = checks(parity(theirs=theirs))
    assert state.metric == "state of the GPU"
    interval = ratio_interval([s / 4 for s in theirs], [0.5, 0.55, 0.45])
    assert (check.kind, check.metric, check.limit) == ("parity", "speed-up over Fabric", 1.5)
    assert (check.status, check.passed) == (status, status == "passed")
    assert check.value == pytest.approx(interval.centre)
    assert check.sentence == (
        f"bert-imdb: fp16-amp as eager is {interval.centre:.3g} times as fast as Fabric 2.6.1 "
        f"(99 % interval {interval.low:.3g} to {interval.high:.3g}). A GPU must reach 1.5"
    )


@pytest.mark.parametrize(("ours", "status"), [(0.89, "passed"), (0.88, "passed"), (0.87, "failed")])
def test_a_training_that_is_faster_must_score_as_well(ours, status):
    required = Requirements(at_least=1.5, tolerance_points=1.0)
    check = checks(parity(scores={"ours": ours, "theirs": 0.89}, requirements=required))[-1]
    assert (check.metric, check.status) == ("score", status)


def test_a_comparison_on_a_gpu_that_was_slowed_down_is_inconclusive():
    assert checks(parity(dropped_blocks=3))[-1].status == "inconclusive"


@pytest.mark.parametrize("theirs", [(4.0, 4.4, 3.6), (2.0, 2.2, 1.8), (4.0, 1.5, 2.0)])
def test_a_parity_on_a_cpu_is_said_and_not_asserted(theirs):
    (check,) = checks(parity(theirs=theirs, device="cpu"))
    assert check.status == "passed"
    assert "times as fast as Fabric" in check.sentence


@pytest.mark.parametrize(
    ("theirs", "status"),
    [((2.0, 2.2, 1.8), "passed"), ((1.0, 1.1, 0.9), "failed"), ((2.0, 1.0, 1.2), "inconclusive")],
)
def test_a_race_is_decided_by_the_interval_of_the_fastest_of_each_side(theirs, status):
    check, state = checks(race(theirs=theirs))
    interval = ratio_interval(theirs, [1.0, 1.1, 0.9])
    assert (check.kind, check.metric, check.limit) == ("race", "speed-up over the fastest other", 1.5)
    assert (check.status, check.value) == (status, pytest.approx(interval.centre))
    assert check.sentence == (
        f"bert-imdb: bf16-manual by compile is {interval.centre:.3g} times as fast as plain PyTorch 2.11.0 by reduce-overhead "
        f"(99 % interval {interval.low:.3g} to {interval.high:.3g}). A GPU must reach 1.5"
    )
    assert (state.metric, state.status) == ("state of the GPU", "passed")


def test_a_race_of_steps_that_were_timed_apart_takes_no_pairs():
    theirs = (2.0, 2.2, 1.8, 2.1)
    check, _ = checks(race(theirs=theirs, apart=True))
    assert check.value == pytest.approx(separate_ratio_interval(theirs, [1.0, 1.1, 0.9]).centre)
    assert check.status == "passed"


def test_a_race_is_judged_in_the_same_mode_too_where_that_is_required():
    slower = entrant((2.0, 2.2, 1.8), "mpcore", execution="compile")
    same = race().fastest.model_copy(update={"ours": slower})
    _, check, _ = checks(race(same_mode=same, same_mode_at_least=1.1))
    assert (check.metric, check.limit) == ("speed-up over reduce-overhead in bf16-amp", 1.1)
    assert (check.status, check.value) == ("failed", pytest.approx(1.0))
    assert len(checks(race(same_mode=same))) == 2


def test_a_race_without_one_that_must_be_there_shows_nothing():
    missing = {"bert-imdb-bf16-amp-reduce-overhead-tiny-by-plain": "there is no triton"}
    _, check, _ = checks(race(missing=missing, same_mode_at_least=1.0))
    assert (check.status, check.value) == ("inconclusive", None)
    assert check.sentence.endswith("speed-up over reduce-overhead in bf16-amp is not known: there is no triton")


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_race_in_which_a_step_failed_is_not_won(device):
    failed = {"bert-imdb-bf16-amp-inductor-tiny-by-plain": "its step failed"}
    check = checks(race(failed=failed, device=device))[1]
    assert check.status == "inconclusive"
    assert check.sentence == "bert-imdb: bert-imdb-bf16-amp-inductor-tiny-by-plain failed: its step failed"


def test_a_race_with_one_that_was_compiled_while_it_was_timed_shows_nothing():
    late = race().ours[0].model_copy(update={"while_timed": ("shape", "shape")})
    check = checks(race().model_copy(update={"ours": (late,)}))[1]
    assert (check.metric, check.status) == ("bert-imdb-bf16-manual-compile-tiny", "inconclusive")
    assert check.sentence.endswith("bf16-manual by compile was compiled while it was timed, which makes its time false: shape")


@pytest.mark.parametrize("theirs", [(2.0, 2.2, 1.8), (1.0, 1.1, 0.9), (2.0, 1.0, 1.2)])
def test_a_race_on_a_cpu_is_said_and_not_asserted(theirs):
    (check,) = checks(race(theirs=theirs, device="cpu"))
    assert check.status == "passed"


@pytest.mark.parametrize(
    ("score", "fp32", "tolerance"),
    [(0.92, 0.93, 1.0), (0.895, 0.9, 0.5), (0.9, 0.9, 0.0), (0.8925, 0.9325, 4.0)],
)
def test_exactly_the_tolerance_may_be_lost(score, fp32, tolerance):
    assert accuracy(score, fp32=[fp32], tolerance=tolerance).passed


def test_one_answer_in_a_million_more_may_not_be_lost():
    check = accuracy(0.919999, fp32=[0.93])
    assert (check.status, check.passed) == ("failed", False)


@pytest.mark.parametrize(
    ("accuracies", "status"),
    [
        ((0.90, 0.90, 0.90), "passed"),
        ((0.88, 0.88, 0.88), "failed"),
        ((0.89, 0.91, 0.885), "inconclusive"),
        ((0.87, 0.91, 0.86), "inconclusive"),  # 2 points are lost, but it is not shown that one is
    ],
)
def test_three_seeds_are_tested(accuracies, status):
    check = accuracy(*accuracies, fp32=[0.9] * 3)
    assert check.status == status
    assert "over 3 seeds (98.3 % bound " in check.sentence


@pytest.mark.parametrize(
    ("accuracies", "fp32", "needs"),
    [
        ((0.90, 0.90, 0.90), 0.9, False),
        ((0.88, 0.88, 0.88), 0.9, False),
        ((0.87, 0.91, 0.86), 0.9, True),
        ((0.9,) * 3, None, False),
    ],
)
def test_more_seeds_are_needed_where_they_could_decide(accuracies, fp32, needs):
    requirements = Requirements(tolerance_points=1.0)
    record = quality("fp16-amp", *accuracies, fp32=fp32 and [fp32] * 3, requirements=requirements)
    assert needs_seeds(Result(record=record, checks=tuple(checks(record)))) is needs


def test_the_spread_of_modes_before_it_is_pooled():
    """They tell the spread of seeds, too. Others do not: FP32, a negative control, another workload, and what diverged."""
    fp32 = [0.9] * 3
    scores = {"fp32": fp32, "precision": "tf32"}
    alone = accuracy(0.885, 0.905, 0.888, **scores)
    quiet = quality("bf16-amp", 0.91, 0.91, 0.91, fp32=fp32, requirements=MIXED)
    assert alone.status == "inconclusive"
    assert (alone.value, "bound -4.06" in alone.sentence) == (pytest.approx(-0.7333, abs=1e-4), True)
    # twice the degrees of freedom, half the variance: t of 4 is 3.186, of 2 it is 5.339
    pooled = accuracy(0.885, 0.905, 0.888, **scores, before=[quiet])
    assert "bound -2.14" in pooled.sentence
    control = quiet.requirements.model_copy(update={"negative_control": True})
    others = [
        quality("fp32", *fp32, fp32=fp32),
        quiet.model_copy(update={"requirements": control}),
        quiet.model_copy(update={"case": quiet.case.model_copy(update={"workload": "resnet50"})}),
        quiet.model_copy(update={"case": quiet.case.model_copy(update={"batch_size": 8})}),
        quiet.model_copy(update={"reference": None}),
        quality("bf16-amp", 0.91, math.nan, 0.91, fp32=fp32, requirements=MIXED),
        speed(),
    ]
    assert accuracy(0.885, 0.905, 0.888, **scores, before=others) == alone


def test_fp32_does_not_differ_from_itself():
    noisy = quality("bf16-amp", 0.8, 0.9, 0.7, fp32=[0.9] * 3, requirements=MIXED)
    check = accuracy(0.9, 0.8, 0.85, fp32=[0.9, 0.8, 0.85], precision="fp32", tolerance=0.0, before=[noisy])
    assert (check.status, check.value) == ("passed", 0)
    assert "98.3 % bound +0.00" in check.sentence


def test_without_a_reference_it_is_not_known_what_is_lost():
    check = accuracy(0.9, 0.9, 0.9, fp32=None)
    assert (check.status, check.value, check.limit) == ("inconclusive", None, -1.0)


def test_where_no_tolerance_is_required_nothing_is_checked():
    assert checks(quality("fp16-amp", 0.5, fp32=[0.9], dummy_score=0.5)) == []


def test_without_masters_a_loss_is_known_and_passes():
    check = accuracy(0.8, fp32=[0.9], precision="bf16-true", loses_updates=True)
    assert (check.status, check.passed) == ("expected_failure", True)
    assert (check.value, check.limit) == (pytest.approx(-10), -1.0)
    assert check.sentence.endswith("At most 1 may be lost, and without FP32 masters it is known to lose some")


def test_without_masters_a_loss_that_may_be_is_known_and_passes():
    check = accuracy(0.89, 0.90, 0.885, fp32=[0.9] * 3, precision="bf16-true", loses_updates=True)
    assert (check.status, check.passed) == ("expected_failure", True)
    assert "known to lose some" in check.sentence


@pytest.mark.parametrize("loses_updates", [False, True])
def test_nothing_is_known_where_nothing_was_lost(loses_updates):
    check = accuracy(0.895, fp32=[0.9], precision="bf16-true", loses_updates=loses_updates)
    assert check.status == "passed"
    assert check.sentence.endswith("At most 1 may be lost")


def test_with_masters_a_loss_is_a_fault():
    check = accuracy(0.8, fp32=[0.9])
    assert (check.status, check.passed) == ("failed", False)
    assert "known" not in check.sentence


@pytest.mark.parametrize(
    ("accuracies", "status", "points"),
    [
        ((0.9, 0.9), "passed", "+0.00"),
        ((0.89, 0.9), "passed", "-0.50"),
        ((0.88, 0.88), "failed", "-2.00"),
        ((1, 1), "passed", "+10.00"),
    ],
)
def test_accuracy_may_fall_by_the_tolerance(accuracies, status, points):
    check = accuracy(*accuracies, fp32=[0.9, 0.9], tolerance=1.5)
    assert (check.kind, check.metric, check.status, check.limit) == ("accuracy", "accuracy", status, -1.5)
    mean = 50 * sum(accuracies)
    assert f"accuracy of fp16-amp is {mean:.2f} %, {points} points from fp32 over 2 seeds" in check.sentence
    assert "too few for a test, which takes 3" in check.sentence
    assert "At most 1.5 may be lost" in check.sentence


def test_a_negative_control_that_diverged_says_where():
    diverged = {1: Divergence(step=7, reason="the loss is nan")}
    control = Requirements(negative_control=True, tolerance_points=1.0)
    (check,) = checks(quality("fp16-pure", 0.5, 0.5, fp32=[0.9, 0.9], diverged=diverged, requirements=control))
    assert (check.status, check.limit) == ("passed", None)
    assert "negative control: fp16-pure diverged in 1 of 2 trainings, first at step 7: the loss is nan" in check.sentence


@pytest.mark.parametrize(("fp32", "said"), [([0.9], "did not diverge here (-40.00 points)"), (None, "did not diverge here")])
def test_a_negative_control_that_did_not_diverge_says_so(fp32, said):
    (check,) = checks(quality("fp16-pure", 0.5, fp32=fp32, requirements=Requirements(negative_control=True)))
    assert check.passed
    assert check.sentence.endswith(f"fp16-pure {said}")


@pytest.mark.parametrize(
    ("score", "status", "loses_updates"),
    [(0.53, "passed", False), (0.51, "failed", False), (0.5, "failed", False), (0.5, "expected_failure", True)],
)
def test_trainings_that_learnt_nothing_compare_nothing(score, status, loses_updates):
    required = Requirements(tolerance_points=2.0, loses_updates=loses_updates)
    check = checks(quality("fp16-amp", score, fp32=[score], dummy_score=0.5, requirements=required))[-1]
    assert (check.metric, check.status) == ("learning", status)
    assert "learnt nothing (0.5)" in check.sentence
    assert f"{100 * (score - 0.5):+.2f} points" in check.sentence


def losses(precision, *ends, began=0.5, fp32=(1.0,) * 6, **required):
    """Trainings of an own step that end at these losses."""
    trained = quality(precision, *ends, lower_is_better=True).trainings
    trained = tuple(t.model_copy(update={"losses": (began,)}) for t in trained)
    required = Requirements(**{"tolerance_points": 2.0, "must_learn": True} | required)
    fields = {"data": OWN_DATA, "rows": {"train": 8}, "lower_is_better": True}
    return quality(precision, fp32=fp32, trainings=trained, requirements=required, **fields)


def test_a_loss_that_is_far_off_is_told_as_a_ratio():
    near, far = (checks(losses("bf16-amp", *[loss] * 6))[0].sentence for loss in (1.05, 24.0))
    assert "accuracy of bf16-amp is 1.05, -4.88 % of it (+ is better) from fp32 over 6 seeds" in near
    assert "accuracy of bf16-amp is 24, 24 times as high as fp32 over 6 seeds. At most 2 % may be lost" in far
    few = checks(losses("bf16-amp", 24.0, fp32=[1.0]))[0].sentence
    assert "24 times as high as fp32 over 1 seed, too few for a test, which takes 3. At most" in few
    dummy = quality("fp32", 20.0, lower_is_better=True, dummy_score=1.0, requirements=Requirements(tolerance_points=2.0))
    assert "is 20 times as high as what a prediction reaches that has learnt nothing (1)" in checks(dummy)[-1].sentence


def test_a_loss_that_ends_above_its_beginning_compares_nothing():
    fell, rose = (checks(losses("fp32", *[1.0] * 3, began=began)) for began in (1.5, 0.5))
    assert [check.passed for check in fell] == [True, True]
    assert [check.passed for check in rose] == [True, False]
    assert "accuracy of fp32 is 1 at the end, and began at 0.5. It may rise by 2 %, unless must_learn" in rose[-1].sentence
    assert checks(losses("fp32", *[1.0] * 3, began=0.99))[-1].passed, "as by chance"
    assert len(checks(losses("fp32", 1.0, began=0.5, must_learn=False))) == 1, "one of adversaries need not"


def test_a_mode_that_is_broken_lends_its_spread_to_no_other():
    """Losses of FP16 scatter from 2 to 90 times those of FP32, those of BF16 by a few thousandths."""
    right = losses("bf16-amp", 1.0, 1.002, 0.998, 1.001, 0.999, 1.0)
    broken = losses("fp16-amp", 2.0, 90.0, 5.0, 40.0, 3.0, 12.0)
    assert checks(right, [Result(record=broken)])[0].status == checks(right)[0].status == "passed"
    strict = losses("bf16-amp", *[1.0] * 6, tolerance_points=0.0)
    assert checks(strict, [Result(record=broken)])[0].status == "inconclusive", "nothing is a tolerance away"
    scattered = losses("fp16-manual", 0.9, 1.1, 0.8, 1.2, 0.95, 1.05)
    assert checks(right, [Result(record=scattered)])[0].status == "inconclusive"


def test_errors_within_their_limits_pass():
    found = checks(numerics(requirements=LIMITS))
    assert [c.metric for c in found] == ["loss error", "gradient error", "update error", "flushed share", "16-bit share"]
    assert {c.status for c in found} == {"passed"}


@pytest.mark.parametrize(
    ("field", "value", "metric", "figures"),
    [
        ("loss_error", 0.02, "loss error", "loss error of fp16-amp against fp64 is 0.02, at most 0.01"),
        ("gradient_error", 0.3, "gradient error", "is 0.3, at most 0.1"),
        ("update_error", 0.25, "update error", "is 0.25, at most 0.2"),
        ("flushed_share", 0.5, "flushed share", "is 0.5, at most 0.01"),
        ("gradient_error", None, "gradient error", "is not finite, at most 0.1"),
    ],
)
def test_an_error_above_its_limit_fails_alone(field, value, metric, figures):
    found = by_metric(checks(numerics(**{field: value}, requirements=LIMITS)))
    assert figures in found[metric].sentence
    assert [name for name, check in found.items() if not check.passed] == [metric]


def test_an_error_at_its_limit_passes():
    assert by_metric(checks(numerics(loss_error=0.01, requirements=LIMITS)))["loss error"].passed


def test_an_error_without_a_limit_is_not_checked():
    required = LIMITS.model_copy(update={"update_error": None, "flushed_share": None})
    found = by_metric(checks(numerics(update_error=1.0, flushed_share=1.0, requirements=required)))
    assert found.keys() == {"loss error", "gradient error", "16-bit share"}


def test_a_negative_control_is_judged_by_its_loss_and_its_share_only():
    errors = {"gradient_error": 1.0, "update_error": 1.0, "flushed_share": 1.0}
    control = LIMITS.model_copy(update={"negative_control": True})
    found = by_metric(checks(numerics(**errors, requirements=control)))
    assert found.keys() == {"loss error", "16-bit share"}
    assert all(check.passed for check in found.values())


@pytest.mark.parametrize(
    ("field", "value", "metric"), [("loss_error", 0.02, "loss error"), ("low_precision_flops_share", 0.25, "16-bit share")]
)
def test_a_negative_control_fails_by_its_loss_or_its_share(field, value, metric):
    control = LIMITS.model_copy(update={"negative_control": True})
    found = checks(numerics(**{field: value}, requirements=control))
    assert [check.metric for check in found if not check.passed] == [metric]


@pytest.mark.parametrize(
    ("bounds", "share", "status", "limit", "expected"),
    [
        ((0.5, 1.0), 0.25, "failed", 0.5, "25 % of its FLOPs in 16 bits, expected 50 to 100 %"),
        ((0.5, 1.0), 0.5, "passed", 1.0, "50 % of its FLOPs in 16 bits, expected 50 to 100 %"),
        ((0.0, 0.0), 0.0, "passed", 0.0, "0 % of its FLOPs in 16 bits, expected 0 to 0 %"),
        ((0.0, 0.0), 0.75, "failed", 0.0, "75 % of its FLOPs in 16 bits, expected 0 to 0 %"),
    ],
)
def test_a_mode_must_compute_in_the_bits_of_its_name(bounds, share, status, limit, expected):
    required = Requirements(low_precision_share=bounds)
    (check,) = checks(numerics(low_precision_flops_share=share, requirements=required))
    assert (check.status, check.value, check.limit) == (status, share, limit)
    assert expected in check.sentence


@pytest.mark.parametrize(
    ("on_purpose", "share", "status", "told"),
    [
        (
            0.2,
            0.75,
            "passed",
            "75 % of its FLOPs in 16 bits, expected 63 to 100 %. 20 % of a forward pass are in FP32 on purpose",
        ),
        (0.2, 0.5, "failed", "50 % of its FLOPs in 16 bits, expected 63 to 100 %"),
        (1.0, 0.0, "passed", "0 % of its FLOPs in 16 bits, expected 0 to 100 %"),
        (0.0, 0.89996, "failed", "89.996 % of its FLOPs in 16 bits, expected 90.000 to 100 %"),
    ],
)
def test_what_is_in_fp32_on_purpose_is_not_missed(on_purpose, share, status, told):
    """A failure shows as many digits as tell the two figures apart."""
    required = Requirements(low_precision_share=(0.9, 1.0))
    record = numerics(low_precision_flops_share=share, fp32_on_purpose=on_purpose, requirements=required)
    (check,) = checks(record)
    assert check.status == status
    assert told in check.sentence


def test_where_there_are_no_flops_no_share_is_judged():
    required = Requirements(low_precision_share=(0.9, 1.0))
    assert checks(numerics(low_precision_flops_share=None, requirements=required)) == []


def shown(ratio, precision="fp16-amp", status="passed", mode="fp32", workload="bert-imdb"):
    """The result of a case that is `ratio` times as fast as a mode."""
    record = speed()
    record = record.model_copy(update={"case": record.case.in_precision(precision).model_copy(update={"workload": workload})})
    metric = f"speed-up over {mode}"
    check = Check(
        kind="speed", case=record.case.id, metric=metric, status=status, value=ratio, limit=1.0, sentence="it is faster"
    )
    return Result(record=record, checks=(check,))


@pytest.mark.parametrize(
    ("share", "ratio", "status"),
    [(0.01, 1.5, "passed"), (0.01, 1.005, "failed"), (-0.01, 1.005, "failed"), (0.5, 2.0, "failed"), (0.49, 2.0, "passed")],
)
def test_a_machine_may_not_drift_by_what_a_mode_is_faster(share, ratio, status):
    (check,) = checks(drift(fp32=share), [shown(ratio), shown(3.0, "bf16-amp")])
    assert (check.kind, check.metric, check.status) == ("drift", "drift", status)
    assert (check.value, check.limit) == (pytest.approx(100 * share), pytest.approx(100 * (1 - 1 / ratio)))
    assert f"a step of fp32 took {100 * abs(share):.1f} % {'more' if share > 0 else 'less'} time" in check.sentence
    assert ("bert-imdb-fp16-amp-eager-tiny may not be faster" in check.sentence) is (status == "failed")


def test_each_reference_drifts_by_itself():
    fp32, tf32 = checks(drift(fp32=0.001, tf32=0.2), [shown(1.1, mode="fp32"), shown(1.1, mode="tf32")])
    assert (fp32.status, tf32.status) == ("passed", "failed")


@pytest.mark.parametrize("other", [{"status": "failed"}, {"mode": "tf32"}, {"workload": "resnet50"}])
def test_drift_casts_no_doubt_on_what_was_not_shown_against_that_reference(other):
    (check,) = checks(drift(fp32=0.5), [shown(1.01, **other)])
    assert (check.status, check.limit) == ("passed", None)


def test_counts_must_reach_nothing():
    assert checks(work(synchronisations=("item (train.py, line 3: loss.item())",))) == []


def tensor(name, gradient=0.01, update=0.05, *, limits=(0.02, 0.25), **changes):
    errors = {"gradient_error": gradient, "gradient_limit": limits[0], "update_error": update, "update_limit": limits[1]}
    return TensorErrors(name=name, **{"layer": "Linear", "norm_share": 0.3} | errors | changes)


def of_tensors(*tensors, **required):
    found = by_metric(checks(numerics(tensors=tensors, requirements=Requirements(**required))))
    return {metric.removeprefix("worst tensor's "): check for metric, check in found.items() if metric.startswith("worst")}


def test_the_worst_tensor_is_named_where_none_is_wrong():
    found = of_tensors(tensor("a.weight", 0.01), tensor("b.weight", 0.015), tensor("c.bias", None, None))
    assert found["gradient"].status == "passed"
    assert (found["gradient"].value, found["gradient"].limit) == (0.015, 0.02)
    assert found["gradient"].sentence == (
        "bert-imdb: the gradient of b.weight (Linear) in fp16-amp is 0.015 off from fp64, at most 0.02 may be"
    )


def test_a_wrong_tensor_fails_with_those_that_are_wrong_too():
    found = of_tensors(*(tensor(f"{n}.weight", 0.03 + n / 100) for n in range(6)), tensor("good.weight"))
    assert found["gradient"].status == "failed"
    assert "the gradient of 5.weight (Linear)" in found["gradient"].sentence
    assert found["gradient"].sentence.endswith("Others that are too far off: 0.weight, 1.weight, 2.weight and 2 more")
    assert found["update"].status == "passed", "only good.weight is asked for its updates"


def test_the_last_wrong_gradient_in_the_forward_pass_is_where_the_fault_is():
    found = of_tensors(tensor("first.weight", 0.06), tensor("good.weight"), tensor("last.weight", 0.05), tensor("head.weight"))
    assert "the gradient of first.weight (Linear)" in found["gradient"].sentence
    assert found["gradient"].sentence.endswith(
        "far off: last.weight. The last of all these in the forward pass is last.weight (Linear)"
    )


def test_a_tensor_without_a_gradient_fails_whatever_its_limit():
    found = of_tensors(tensor("a.weight", 1.0, limits=(1.0, 0.25)))
    assert found["gradient"].status == "failed"
    assert "All of it is missing: 30 % of the norm of the whole gradient" in found["gradient"].sentence


def test_a_gradient_that_is_twice_as_long_is_not_missing():
    twice = [tensor(f"{name}.weight", 1.0, limits=(0.5, 0.25), length=2.0) for name in "ab"]
    said = of_tensors(*twice)["gradient"].sentence
    assert (
        "It points the same way, and is 2 times as long, and so are all that are too far off. Others that are too far off"
        in said
    )
    assert "missing" not in said
    said = of_tensors(twice[0], tensor("c.weight", 1.0, limits=(0.5, 0.25)))["gradient"].sentence
    assert "is 2 times as long. Others" in said


def test_updates_of_a_tensor_are_judged_by_themselves():
    found = of_tensors(tensor("a.weight", update=0.6), tensor("b.weight"))
    assert (found["gradient"].status, found["update"].status) == ("passed", "failed")
    assert "the update of a.weight (Linear) in fp16-amp is 0.6 off" in found["update"].sentence


def test_a_negative_control_and_an_older_record_have_no_tensors_to_judge():
    assert of_tensors(tensor("a.weight", 1.0), negative_control=True) == {}
    assert of_tensors(tensor("a.weight", 0.5, limits=(None, None))) == {}
    assert "worst tensor's gradient" not in by_metric(checks(numerics(requirements=LIMITS)))


@pytest.mark.parametrize(
    ("late", "status", "said"),
    [
        ((), "passed", "fp16-amp was compiled in 12.5 s, not from a cache, before it was timed"),
        (
            ("size",) * 2 + ("grad",),
            "failed",
            "which makes its time false: size; grad",
        ),
    ],
)
def test_what_is_compiled_while_it_is_timed_makes_the_time_false(late, status, said):
    compilation = Compilation(seconds=12.5, warm=False, graphs=1, graph_breaks=("item",), while_timed=late)
    check = by_metric(checks(speed(compilation=compilation)))["compilation"]
    assert (check.status, check.value) == (status, len(late))
    assert check.sentence.endswith(said)


def test_that_nothing_was_compiled_is_no_pass():
    check = by_metric(checks(speed(compilation=Compilation(seconds=0.0, warm=False, graphs=0))))["compilation"]
    assert check.status == "failed"
    assert "nothing of fp16-amp was compiled: expected a model" in check.sentence


HALVES = {"FP16": "nvjet_sm90_hsh_128x192_64x5_2x1_v_bz_coopB_bias_TNN", "BF16": "nvjet_sm90_tst_64x8_64x16_2x4_h_bz_NNT"}


@pytest.mark.parametrize(
    ("mode", "halves", "other"),
    [
        ("bf16-amp", ["FP16"], "FP16"),
        ("fp16-manual", ["BF16"], "BF16"),
        ("bf16-amp", ["BF16", "FP16"], None),  # a part in the other format, on purpose
        ("bf16-amp", [], None),
        ("fp16-amp", ["FP16"], None),
        ("tf32", ["FP16"], None),  # nobody knows what a model does there
    ],
)
def test_a_mode_that_multiplies_in_the_other_16_bits_alone_fails(mode, halves, other):
    profile = profile_of({HALVES[half]: (2, 1e-3) for half in halves})
    case = speed().case.in_precision(mode)
    found = by_metric(checks(speed(case=case, profile=profile))).get("format")
    assert (found and found.status) == (other and "failed")
    if found:
        own = {"FP16": "BF16", "BF16": "FP16"}[other]
        assert f"{mode} multiplies in {other} and nowhere in {own}, as {HALVES[other]} shows" in found.sentence


def test_a_variant_is_held_to_the_format_of_its_base():
    wrong = {"case": speed().case.in_precision("mine"), "profile": profile_of({HALVES["FP16"]: (2, 1e-3)})}
    assert "format" not in by_metric(checks(speed(**wrong)))
    required = speed().requirements.model_copy(update={"base": "bf16-amp"})
    compilation = Compilation(seconds=1.0, warm=True, graphs=1)
    check = by_metric(checks(speed(**wrong, requirements=required, compilation=compilation)))["format"]
    assert check.sentence.endswith("A cache of torch before 2.13 gives code of another format")
