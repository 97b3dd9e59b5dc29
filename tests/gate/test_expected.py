import pytest
import torch
from made import gpu, numerics, parity, quality, speed

from mpcore.explain import bound
from mpcore.gate import numerics_verdicts, parity_verdicts, quality_verdicts, speed_verdicts
from mpcore.measure import Bench
from mpcore.policy import DROPPED_LIMIT, NumericsLimits
from mpcore.records import Blocks, Divergence, Reference
from mpcore.stats import ratio_interval, separate_ratio_interval

LIMITS = NumericsLimits(loss=0.01, gradient=0.1, update=0.2, flushed=0.01, half_share=(0.5, 1.0))
NO_LIMITS = NumericsLimits(loss=0.01, gradient=0.1, update=None, flushed=None, half_share=(0.5, 1.0))


def by_metric(verdicts):
    return {v.metric: v for v in verdicts}


def test_a_loss_that_falls_is_learning():
    (verdict,) = speed_verdicts(speed())
    assert (verdict.kind, verdict.case, verdict.metric) == ("speed", "bert-imdb-fp16-amp-eager-tiny", "learning")
    assert (verdict.status, verdict.value, verdict.limit) == ("same", 0.5, 0.7)
    assert "bert-imdb: the loss went from 0.7 to 0.5 while fp16-amp" in verdict.sentence
    assert "must fall" not in verdict.sentence


@pytest.mark.parametrize(
    ("before", "after", "figures"),
    [
        (0.5, 0.5, "from 0.5 to 0.5"),
        (0.5, 0.75, "from 0.5 to 0.75"),
        (0.5, None, "from 0.5 to not finite"),
        (None, 0.5, "from not finite to 0.5"),
    ],
)
def test_a_loss_that_does_not_fall_fails(before, after, figures):
    (verdict,) = speed_verdicts(speed(before, after))
    assert verdict.status == "worse"
    assert figures in verdict.sentence
    assert verdict.sentence.endswith("it must fall by 20 %")


def test_a_control_need_not_learn():
    (verdict,) = speed_verdicts(speed(0.5, None), control=True)
    assert verdict.passed
    assert "negative control: the loss went from 0.5 to not finite" in verdict.sentence


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize(
    ("fp32", "status", "ratio"),
    [((4.0, 4.4, 3.6), "better", 2.0), ((1.0, 1.1, 0.9), "worse", 0.5), ((1.0, 4.0, 1.0), "undecided", 0.796)],
)
def test_a_speedup_is_decided_by_its_whole_interval(fp32, status, ratio, apart):
    verdict = speed_verdicts(speed(fp32=fp32, apart=apart), rivals=["fp32"])[1]
    assert (verdict.metric, verdict.status, verdict.limit) == ("speed-up over fp32", status, 1.0)
    assert verdict.value == pytest.approx(ratio, abs=1e-3)
    assert verdict.sentence.startswith(f"bert-imdb: fp16-amp is {ratio:g} times as fast as fp32 (99 % interval ")
    assert ("the workload expects it to be faster" in verdict.sentence) is not verdict.passed


@pytest.mark.parametrize(("apart", "interval_of"), [(False, ratio_interval), (True, separate_ratio_interval)])
def test_the_interval_is_of_pairs_in_turns_and_of_two_samples_apart(apart, interval_of):
    # the machine slowed both down alike: in turns that cancels out, apart it is noise
    own, fp32 = (1.0, 2.0, 3.0), (3.0, 6.0, 9.1)
    interval = interval_of([s / 4 for s in fp32], [s / 2 for s in own])
    verdict = speed_verdicts(speed(seconds=own, fp32=fp32, apart=apart), rivals=["fp32"])[1]
    assert verdict.value == pytest.approx(interval.centre)
    assert f"(99 % interval {interval.low:.3g} to {interval.high:.3g})" in verdict.sentence
    assert verdict.status == ("undecided" if apart else "better")


def test_the_interval_in_turns_is_that_of_the_rounds():
    """Blocks of the case alone are not neighbours of the reference's, nor need there be as many."""
    alone = Blocks(steps=1, seconds=(9.0, 9.0))
    (_, verdict) = speed_verdicts(speed().model_copy(update={"blocks": alone}), rivals=["fp32"])
    assert verdict.value == pytest.approx(2)


def test_a_missing_speedup_says_why():
    slow = speed(fp32=(1.0, 1.1, 0.9))
    (_, verdict) = speed_verdicts(slow, rivals=["fp32"])
    assert verdict.sentence.endswith(f"; the workload expects it to be faster; {bound(slow)}")


def test_a_rival_that_was_not_measured_leaves_the_speedup_undecided():
    (_, verdict) = speed_verdicts(speed(missing={"tf32": "no memory"}), rivals=["tf32"])
    assert (verdict.status, verdict.passed, verdict.value) == ("undecided", False, None)
    assert verdict.sentence.endswith("tf32 could not be measured, and so not whether fp16-amp is faster: no memory")


def test_without_a_gpu_nothing_is_said_of_its_state():
    assert [v.metric for v in speed_verdicts(speed(gpu=None, dropped_blocks=3))] == ["learning"]


@pytest.mark.parametrize(
    ("dropped", "kept", "status", "share"),
    [
        (0, 8, "same", 0.0),
        (2, 8, "same", 0.25),
        (3, 8, "undecided", 0.375),
        (8, 8, "undecided", 1.0),
        (20, 8, "undecided", 1.0),
    ],
)
def test_a_gpu_that_was_slowed_down_too_often_leaves_a_case_undecided(dropped, kept, status, share):
    """Dropped beside the case or beside a reference: it is all the same."""
    slowed = speed(seconds=(1.0,) * kept, gpu=gpu(), dropped_blocks=dropped, apart=True, references={})
    (_, verdict) = speed_verdicts(slowed)
    reference = Reference(blocks=Blocks(steps=1, seconds=(1.0,) * (kept - 1)), rounds=None, dropped_blocks=dropped)
    beside = speed(seconds=(1.0,), gpu=gpu(), apart=True, references={"fp32": reference})
    assert speed_verdicts(beside)[1] == verdict
    assert (verdict.metric, verdict.status, verdict.value) == ("state of the GPU", status, share)
    assert verdict.limit == DROPPED_LIMIT
    assert verdict.passed is (status == "same")
    assert f"slowed down in {dropped} rounds of blocks, {kept} are kept" in verdict.sentence


@pytest.mark.parametrize(
    ("limits", "words"), [((), "none"), (("power cap", "thermal slowdown"), "power cap, thermal slowdown")]
)
def test_what_held_the_gpu_back_is_named(limits, words):
    (_, verdict) = speed_verdicts(speed(gpu=gpu(*limits)))
    assert f"(what held its clock back: {words})" in verdict.sentence


@pytest.mark.parametrize(
    ("theirs", "status"),
    [
        ((4.0, 4.4, 3.6), "better"),  # 2 to the letter
        ((2.0, 2.2, 1.8), "worse"),  # 1
        ((4.0, 2.9, 3.6), "same"),  # 1.0 to 3.3, most likely above 1.5: no proof that it is slower
        ((4.0, 1.5, 2.0), "undecided"),  # 0.05 to 27, most likely below
    ],
)
def test_a_parity_is_decided_by_its_interval_and_then_its_centre(theirs, status):
    verdict, state = parity_verdicts(parity(theirs=theirs), at_least=1.5)
    assert state.metric == "state of the GPU"
    interval = ratio_interval([s / 4 for s in theirs], [0.5, 0.55, 0.45])
    assert (verdict.kind, verdict.metric, verdict.limit) == ("parity", "speed-up over Fabric", 1.5)
    assert (verdict.status, verdict.passed) == (status, status in ("better", "same"))
    assert verdict.value == pytest.approx(interval.centre)
    assert verdict.sentence == (
        f"bert-imdb: fp16-amp as eager is {interval.centre:.3g} times as fast as Fabric 2.6.1 "
        f"(99 % interval {interval.low:.3g} to {interval.high:.3g}); a GPU must reach 1.5"
    )


@pytest.mark.parametrize(("ours", "status"), [(0.89, "same"), (0.88, "same"), (0.87, "worse")])
def test_a_training_that_is_faster_must_score_as_well(ours, status):
    compared = parity().model_copy(update={"scores": {"ours": ours, "theirs": 0.89}})
    verdict = parity_verdicts(compared, at_least=1.5, tolerance=1.0)[-1]
    assert (verdict.metric, verdict.status) == ("score", status)


def test_a_comparison_on_a_gpu_that_was_slowed_down_is_undecided():
    slowed = parity().model_copy(update={"dropped_blocks": 3})
    assert parity_verdicts(slowed, at_least=1.5)[-1].status == "undecided"


@pytest.mark.parametrize(
    ("before", "after", "status"),
    [(0.7, 0.55, "same"), (0.7, 0.65, "worse"), (0.7, 0.71, "worse"), (-1.0, -1.3, "same"), (-1.0, -0.9, "worse")],
)
def test_a_loss_that_hardly_falls_is_no_learning(before, after, status):
    """Dropout moves it by as much. A log-likelihood may be of either sign."""
    assert speed_verdicts(speed(loss_before=before, loss_after=after))[0].status == status


@pytest.mark.parametrize("theirs", [(4.0, 4.4, 3.6), (2.0, 2.2, 1.8), (4.0, 1.5, 2.0)])
def test_a_parity_on_a_cpu_is_said_and_not_asserted(theirs):
    (verdict,) = parity_verdicts(parity(theirs=theirs, device="cpu"), at_least=1.5)
    assert verdict.status == "same"
    assert "times as fast as Fabric" in verdict.sentence


def test_without_rivals_no_speedup_is_judged():
    assert [v.metric for v in speed_verdicts(speed(fp32=(1.0, 1.0, 1.0)))] == ["learning"]


@pytest.mark.parametrize(
    ("accuracy", "reference", "tolerance"),
    [(0.92, 0.93, 1.0), (0.895, 0.9, 0.5), (0.9, 0.9, 0.0), (0.8925, 0.9325, 4.0)],
)
def test_exactly_the_tolerance_may_be_lost(accuracy, reference, tolerance):
    (verdict,) = quality_verdicts(quality("fp16-amp", accuracy), quality("fp32", reference), tolerance=tolerance)
    assert verdict.status == "same"


def test_one_answer_in_a_million_more_may_not_be_lost():
    (verdict,) = quality_verdicts(quality("fp16-amp", 0.919999), quality("fp32", 0.93), tolerance=1.0)
    assert verdict.status == "worse"
    assert not verdict.passed


def test_a_mode_is_judged_by_its_own_spread_too_and_fp32_by_none():
    """Before any 16-bit mode is trained there is nothing else, and fp32 does not differ from itself."""
    bench = Bench(torch.device("cpu"))
    trained = [quality("fp32", 0.90, 0.90, 0.90), quality("tf32", 0.885, 0.905, 0.888)]
    bench._qualities = {q.case: q for q in trained}
    fp32, tf32 = (bench.accuracy_terms(q.case)["deviation"] for q in trained)
    assert fp32 is None
    assert (tf32.freedom, tf32.value) == (2, pytest.approx(1.0786, abs=1e-3))
    bench._qualities |= {q.case: q for q in [quality("bf16-amp", 0.91, 0.91, 0.91)]}
    assert bench.accuracy_terms(trained[1].case)["deviation"].freedom == 4


def test_without_masters_a_loss_is_known_and_passes():
    (verdict,) = quality_verdicts(quality("bf16-true", 0.8), quality("fp32", 0.9), tolerance=1.0, loses_updates=True)
    assert (verdict.status, verdict.known, verdict.passed) == ("worse", True, True)
    assert (verdict.value, verdict.limit) == (pytest.approx(-10), -1.0)
    assert verdict.sentence.endswith("at most 1 may be lost, and without FP32 masters it is known to lose some")


def test_without_masters_a_loss_that_may_be_is_known_and_passes():
    scores = quality("bf16-true", 0.89, 0.90, 0.885), quality("fp32", 0.9, 0.9, 0.9)
    (verdict,) = quality_verdicts(*scores, tolerance=1.0, loses_updates=True)
    assert (verdict.status, verdict.passed, verdict.known) == ("undecided", True, True)
    assert "known to lose some" in verdict.sentence


@pytest.mark.parametrize("loses_updates", [False, True])
def test_nothing_is_known_where_nothing_was_lost(loses_updates):
    (verdict,) = quality_verdicts(quality("bf16-true", 0.895), quality("fp32", 0.9), tolerance=1.0, loses_updates=loses_updates)
    assert (verdict.status, verdict.known) == ("same", False)
    assert verdict.sentence.endswith("at most 1 may be lost")


def test_with_masters_a_loss_is_a_fault():
    (verdict,) = quality_verdicts(quality("fp16-amp", 0.8), quality("fp32", 0.9), tolerance=1.0)
    assert (verdict.status, verdict.known, verdict.passed) == ("worse", False, False)
    assert "known" not in verdict.sentence


@pytest.mark.parametrize(
    ("accuracies", "status", "points"),
    [
        ((0.9, 0.9), "same", "+0.00"),
        ((0.89, 0.9), "same", "-0.50"),
        ((0.88, 0.88), "worse", "-2.00"),
        ((1, 1), "same", "+10.00"),
    ],
)
def test_accuracy_may_fall_by_the_tolerance(accuracies, status, points):
    (verdict,) = quality_verdicts(quality("fp16-amp", *accuracies), quality("fp32", 0.9, 0.9), tolerance=1.5)
    assert (verdict.kind, verdict.metric, verdict.status, verdict.limit) == ("quality", "accuracy", status, -1.5)
    mean = 50 * sum(accuracies)
    assert f"accuracy of fp16-amp is {mean:.2f} %, {points} points from fp32 over 2 seeds" in verdict.sentence
    assert "at most 1.5 may be lost" in verdict.sentence


def test_a_control_that_diverged_says_where():
    diverged = {1: Divergence(step=7, reason="the loss is nan")}
    (verdict,) = quality_verdicts(
        quality("fp16-pure", 0.5, 0.5, diverged=diverged), quality("fp32", 0.9), tolerance=1.0, control=True
    )
    assert verdict.passed
    assert verdict.limit is None
    assert "negative control: fp16-pure diverged in 1 of 2 trainings, first at step 7: the loss is nan" in verdict.sentence


def test_a_control_that_did_not_diverge_says_so():
    (verdict,) = quality_verdicts(quality("fp16-pure", 0.5), quality("fp32", 0.9), tolerance=1.0, control=True)
    assert verdict.passed
    assert "fp16-pure did not diverge here (-40.00 points)" in verdict.sentence


def test_errors_within_their_limits_pass():
    verdicts = numerics_verdicts(numerics(), LIMITS)
    assert [v.metric for v in verdicts] == ["loss error", "gradient error", "update error", "flushed share", "16-bit share"]
    assert {v.status for v in verdicts} == {"same"}


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
    verdicts = by_metric(numerics_verdicts(numerics(**{field: value}), LIMITS))
    assert figures in verdicts[metric].sentence
    assert [name for name, v in verdicts.items() if not v.passed] == [metric]


def test_an_error_at_its_limit_passes():
    assert by_metric(numerics_verdicts(numerics(loss_error=0.01), LIMITS))["loss error"].passed


def test_an_error_without_a_limit_gets_no_verdict():
    verdicts = by_metric(numerics_verdicts(numerics(update_error=1.0, flushed_share=1.0), NO_LIMITS))
    assert verdicts.keys() == {"loss error", "gradient error", "16-bit share"}


def test_a_control_is_judged_by_its_loss_and_its_share_only():
    errors = {"gradient_error": 1.0, "update_error": 1.0, "flushed_share": 1.0}
    verdicts = by_metric(numerics_verdicts(numerics(**errors), LIMITS, control=True))
    assert verdicts.keys() == {"loss error", "16-bit share"}
    assert all(v.passed for v in verdicts.values())


@pytest.mark.parametrize(
    ("field", "value", "metric"), [("loss_error", 0.02, "loss error"), ("half_flops_share", 0.25, "16-bit share")]
)
def test_a_control_fails_by_its_loss_or_its_share(field, value, metric):
    verdicts = numerics_verdicts(numerics(**{field: value}), LIMITS, control=True)
    assert [v.metric for v in verdicts if not v.passed] == [metric]


@pytest.mark.parametrize(
    ("bounds", "share", "status", "limit", "expected"),
    [
        ((0.5, 1.0), 0.25, "worse", 0.5, "25 % of its FLOPs in 16 bits, expected 50 to 100 %"),
        ((0.5, 1.0), 0.5, "same", 1.0, "50 % of its FLOPs in 16 bits, expected 50 to 100 %"),
        ((0.0, 0.0), 0.0, "same", 0.0, "0 % of its FLOPs in 16 bits, expected 0 to 0 %"),
        ((0.0, 0.0), 0.75, "worse", 0.0, "75 % of its FLOPs in 16 bits, expected 0 to 0 %"),
    ],
)
def test_a_mode_must_compute_in_the_bits_of_its_name(bounds, share, status, limit, expected):
    limits = NumericsLimits(loss=1, gradient=1, update=None, flushed=None, half_share=bounds)
    verdict = numerics_verdicts(numerics(half_flops_share=share), limits)[-1]
    assert (verdict.status, verdict.value, verdict.limit) == (status, share, limit)
    assert expected in verdict.sentence


@pytest.mark.parametrize(("accuracy", "status"), [(0.53, "same"), (0.51, "worse"), (0.5, "worse")])
def test_trainings_that_learnt_nothing_compare_nothing(accuracy, status):
    trained = quality("fp16-amp", accuracy, accuracy).model_copy(update={"uninformed": 0.5})
    verdict = quality_verdicts(trained, quality("fp32", accuracy), tolerance=2.0)[-1]
    assert (verdict.metric, verdict.status) == ("learning", status)
    assert "learnt nothing (0.5)" in verdict.sentence
    assert f"{100 * (accuracy - 0.5):+.2f} points" in verdict.sentence
