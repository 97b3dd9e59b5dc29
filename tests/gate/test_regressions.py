"""What got worse since accepted runs, and what all cases share."""

import math

import pytest
from made import drift, gpu, numerics, parity, quality, race, run, step

from mpcore.gate import (
    SHIPPED,
    BaselineMatch,
    Margins,
    common_change,
    confirmed,
    expected_seconds,
    match_baselines,
    needs_confirmation,
    regressions,
)
from mpcore.kernels.profile import profile_of
from mpcore.records import Accepted, Blocks, Compilation, Requirements, Result

GIB = 2**30
H200 = SHIPPED["nvidia-h200"]
SGEMM, HALF_GEMM = "sm80_xmma_gemm_f32f32_f32f32_f32", "sm90_xmma_gemm_f16f16_f16f32_f32"


def against(record, *accepted, margins=None):
    return regressions(match_baselines(record, [run(old) for old in accepted]), margins or Margins(points=1.0), H200)


def by_metric(found):
    return {regression.metric: regression for regression in found}


THREE = [step(10.0), step(10.02), step(9.98)]


@pytest.mark.parametrize(
    ("milliseconds", "status"), [(10.0, "same"), (10.15, "undecided"), (10.25, "worse"), (9.75, "better"), (9.9, "same")]
)
def test_a_step_is_judged_by_a_prediction_interval_against_a_margin(milliseconds, status):
    (regression,) = against(step(milliseconds), *THREE)
    assert (regression.metric, regression.status) == ("step time", status)
    assert regression.ratio == pytest.approx(milliseconds / 10, rel=1e-4)
    low, high = regression.interval
    assert low < regression.ratio < high


def test_the_sentence_says_by_how_much_and_what_the_margin_is():
    (regression,) = against(step(10.5), *THREE)
    assert regression.sentence == (
        "bert-imdb: a step of fp16-amp takes 10.5 ms, +5.0 % from 3 accepted runs, between +4.4 % and +5.7 % (99 % each). "
        "The margin is 1.25 %"
    )


def test_fewer_accepted_runs_say_less():
    assert against(step(10.2), *THREE)[0].status == "worse"
    assert against(step(10.2), step(10.0))[0].status == "undecided"


def test_runs_that_differ_more_than_assumed_widen_the_interval():
    assert against(step(10.4), step(10.0), step(10.5), step(9.5))[0].status == "undecided"


def test_what_got_slower_is_explained_by_its_kernels():
    before = step(10.0, profile=profile_of({HALF_GEMM: (10, 0.008), "elementwise_kernel": (10, 0.002)}))
    after = step(14.0, profile=profile_of({SGEMM: (10, 0.012), "elementwise_kernel": (10, 0.002)}))
    (regression,) = against(after, before, before, before)
    assert regression.status == "worse"
    assert "14.00 ms of device time, 4.00 ms (40.0 %) more" in regression.sentence
    assert "matrix product" in regression.sentence


def test_no_time_of_what_python_launches_on_a_gpu_is_judged():
    def beside(ms):
        return step(10.0, eager=Blocks(steps=1, seconds=(ms / 1e3,)))

    assert [found.metric for found in against(beside(90.0), beside(20.0))] == ["step time"]
    slow, fast = (launched(step(ms, peak_allocated_bytes=GIB)) for ms in (90.0, 20.0))
    assert [found.metric for found in against(slow, fast, margins=Margins(step_time=1.0))] == ["memory"]
    assert expected_seconds([fast], H200) is None


def launched(record):
    return record.model_copy(update={"case": record.case.model_copy(update={"execution": "eager"})})


def test_a_cpu_is_judged_only_where_a_margin_is_given():
    slow, fast = (step(ms).model_copy(update={"device": "cpu"}) for ms in (100.0, 10.0))
    assert against(slow, fast) == []
    (regression,) = against(slow, fast, margins=Margins(step_time=20.0))
    assert regression.status == "worse"


@pytest.mark.parametrize(("now", "status"), [(10.05, "same"), (10.2, "worse"), (9.8, "better")])
@pytest.mark.parametrize(("metric", "field"), [("memory", "peak_allocated_bytes"), ("graph memory", "pool_bytes")])
def test_memory_repeats_and_has_a_tight_margin(metric, field, now, status):
    old, new = (step(10.0, **{field: int(gib * GIB)}) for gib in (10.0, now))
    regression = by_metric(against(new, old, old))[metric]
    assert regression.status == status
    assert f"{now:.3f} GiB" in regression.sentence


@pytest.mark.parametrize(("more", "status"), [(7.9, "same"), (8.1, "worse"), (-7.9, "same"), (-8.1, "better")])
def test_rests_of_blocks_are_no_change_of_a_small_peak(more, status):
    old, new = (step(10.0, peak_allocated_bytes=int(mib * 2**20)) for mib in (100, 100 + more))
    regression = by_metric(against(new, old, old))["memory"]
    assert (regression.status, regression.limit) == (status, pytest.approx(108 / 1024))
    assert regression.sentence.endswith(". The margin is 8 MiB")


@pytest.mark.parametrize(("more", "status"), [(2, "same"), (4, "worse"), (-2, "same"), (-4, "better")])
def test_a_segment_more_is_no_change_of_a_small_graph(more, status):
    old, new = (step(10.0, pool_bytes=mib * 2**20) for mib in (48, 48 + more))
    regression = by_metric(against(new, old, old))["graph memory"]
    assert (regression.status, regression.limit) == (status, pytest.approx(50 / 1024))
    assert regression.sentence.endswith(". The margin is 2 MiB")


def test_a_margin_given_for_it_decides():
    loose = Margins(step_time=10.0, memory=50.0)
    old, new = (step(ms, pool_bytes=int(gib * GIB)) for ms, gib in ((10.0, 1.0), (10.6, 1.4)))
    assert [v.status for v in against(new, old, old, old, margins=loose)] == ["same", "same"]


@pytest.mark.parametrize(
    ("accuracies", "status"),
    [
        ((0.90, 0.91, 0.92), "same"),
        ((0.80, 0.81, 0.82), "worse"),
        ((0.96, 0.97, 0.98), "better"),
        ((0.85, 0.92, 0.95), "undecided"),
    ],
)
def test_accuracy_is_compared_seed_by_seed(accuracies, status):
    old = quality("fp16-amp", 0.90, 0.91, 0.92)
    (regression,) = against(quality("fp16-amp", *accuracies), old, old)
    assert (regression.metric, regression.status) == ("accuracy", status)


def test_two_seeds_decide_nothing():
    (regression,) = against(quality("fp16-amp", 0.5, 0.5), quality("fp16-amp", 0.9, 0.9))
    assert regression.status == "undecided"
    assert "2 seeds" in regression.sentence


def test_a_control_may_diverge_as_it_did():
    diverged = quality("fp16-true", math.nan, math.nan, 0.5)
    assert against(diverged, diverged)[0].status == "same"
    assert against(diverged, quality("fp16-true", 0.5, 0.5, 0.5))[0].status == "worse"


@pytest.mark.parametrize(("error", "status"), [(0.05, "same"), (0.074, "same"), (0.076, "worse"), (0.03, "better")])
def test_errors_may_grow_by_half(error, status):
    assert by_metric(against(numerics(gradient_error=error), numerics()))["gradient error"].status == status


def test_an_error_that_is_no_number_is_worse():
    assert by_metric(against(numerics(update_error=math.nan), numerics()))["update error"].status == "worse"


def test_a_handful_of_flushed_entries_is_chance():
    found = against(numerics(flushed_share=9e-5), numerics(flushed_share=1e-6))
    assert by_metric(found)["flushed share"].status == "same"


def test_what_rounding_makes_of_updates_is_chance():
    one, other, margins = numerics(update_error=0.0013), numerics(update_error=0.024), Margins(updates=0.05)
    assert by_metric(against(one, other, margins=margins))["update error"].status == "same"
    regression = by_metric(against(other, one, margins=margins))["update error"]
    assert regression.status == "same"
    assert regression.sentence.endswith("is 0.024, 0.0013 in accepted runs. The limit is 0.05")
    assert by_metric(against(numerics(update_error=0.06), one, margins=margins))["update error"].status == "worse"
    assert by_metric(against(other, one, margins=Margins(updates=0.01)))["update error"].status == "worse"


@pytest.mark.parametrize("change", [{"workload_version": 2}, {"batch_size": 64}, {"device": "cpu"}])
def test_what_was_measured_otherwise_is_not_regressions(change):
    (regression,) = against(step(20.0).model_copy(update=change), *THREE)
    assert (regression.status, regression.passed, regression.open) == ("incomparable", True, True)
    (name, value), *_ = change.items()
    assert f"{name.split('_')[-1] if name == 'workload_version' else name.split('_')[0]} " in regression.sentence
    assert f"{value} here" in regression.sentence


def test_trainings_on_other_data_are_not_regressions():
    other = quality("fp16-amp", 0.1, 0.1, 0.1).model_copy(update={"data": "hub"})
    (regression,) = against(other, quality("fp16-amp", 0.9, 0.9, 0.9))
    assert regression.status == "incomparable"
    assert "data embedded there, hub here" in regression.sentence


def test_a_case_that_no_run_has_is_new():
    (regression,) = against(step(10.0, precision="bf16-amp"), *THREE)
    assert (regression.status, regression.metric, regression.open) == ("new", "speed", True)
    assert "no accepted run has it" in regression.sentence


def test_worse_stands_only_where_a_fresh_process_says_so_again():
    first = against(step(10.5), *THREE)
    (again,) = confirmed(first, against(step(10.4), *THREE))
    assert (again.status, again.passed) == ("worse", False)
    assert again.sentence.endswith("Measured again in a fresh process, it is so again")
    (chance,) = confirmed(first, against(step(10.0), *THREE))
    assert (chance.status, chance.passed, chance.open) == ("undecided", True, True)
    assert "a step of fp16-amp takes 10 ms" in chance.sentence


def test_worse_stands_where_it_cannot_be_measured_again():
    (regression,) = confirmed(against(step(10.5), *THREE), "it finds no memory")
    assert regression.status == "worse"
    assert regression.sentence.endswith("It could not be measured again: it finds no memory")


def everything(factor, count=6, runs=3):
    """Cases that all take `factor` times as long as accepted, one of them much longer."""
    workloads = [f"w{i}" for i in range(count)]
    accepted = [run(*(step(10.0 + r / 100, workload=w) for w in workloads)) for r in range(runs)]
    slow = [step(10.0 * factor * (1.5 if w == "w0" else 1), workload=w) for w in workloads]
    return [match_baselines(record, accepted) for record in slow]


def test_errors_against_fp32_are_not_compared_with_errors_against_fp64():
    (found,) = against(numerics(reference="fp32"), numerics())
    assert found.status == "incomparable"
    assert "reference fp64" in found.sentence


@pytest.mark.parametrize(
    ("factor", "status"), [(1.0, "same"), (1.05, "worse"), (0.95, "better"), (1.012, "undecided"), (1.02, "worse")]
)
def test_what_all_cases_share_is_a_regression_of_its_own(factor, status):
    regression = common_change(everything(factor), Margins(), H200)
    assert (regression.case, regression.status) == ("all cases", status)
    assert ("the machine, the driver, or a change to all" in regression.sentence) == (status in ("worse", "better"))


def test_what_python_launches_shares_nothing():
    """Its spread is not that of graphs."""
    graphs = everything(1.1)
    eager = [BaselineMatch(launched(of.record), of.accepted) for of in graphs]
    assert common_change(graphs, Margins(), H200).status == "worse"
    assert common_change(eager, Margins(), H200) is None


def test_a_few_cases_share_nothing():
    assert common_change(everything(1.1, count=3), Margins(), H200) is None
    assert common_change([], Margins(), H200) is None
    assert common_change([BaselineMatch(step(10.0), {})], Margins(), H200) is None


def test_a_case_with_more_accepted_runs_does_not_hide_what_all_share():
    cases = everything(1.1)
    one = cases[-1]
    longer = BaselineMatch(one.record, {0: step(10.0, workload="w5"), **{n + 1: old for n, old in one.accepted.items()}})
    assert common_change([*cases[:-1], longer], Margins(), H200).status == "worse"


def accepted_run(*records, reset=()):
    return run(*records, accepted=Accepted(reason="x", datetime="2026-01-03T00:00:00+00:00", reset=tuple(reset)))


def test_what_is_older_than_a_reset_counts_no_more():
    old, new = step(10.0, pool_bytes=GIB), step(11.0, pool_bytes=GIB)
    runs = [accepted_run(old), accepted_run(old), accepted_run(old), accepted_run(new, reset=[new.name])]
    assert list(match_baselines(new, runs).accepted) == [3]
    found = by_metric(regressions(match_baselines(new, runs), Margins(), H200))
    assert (found["step time"].ratio, found["graph memory"].status) == (1.0, "same")
    assert by_metric(regressions(match_baselines(old, runs), Margins(), H200))["step time"].status == "better"
    other = step(10.0, workload="resnet50")
    assert len(match_baselines(other, [accepted_run(other), accepted_run(other, new, reset=[new.name])]).accepted) == 2


def test_memory_repeats_so_that_the_last_accepted_run_says_it_all():
    old, less = step(10.0, pool_bytes=10 * GIB), step(10.0, pool_bytes=9 * GIB)
    regression = by_metric(against(old, old, old, old, less))["graph memory"]
    assert (regression.status, regression.value, regression.limit) == ("worse", 10.0, pytest.approx(9.09))
    assert "from the 9.000 of the last accepted run" in regression.sentence


def test_the_limit_of_a_time_is_in_milliseconds():
    (regression,) = against(step(10.5), *THREE)
    assert (regression.value, regression.limit) == (pytest.approx(10.5), pytest.approx(10.125, rel=1e-4))


def test_an_accepted_run_of_one_seed_does_not_hide_the_others():
    good = quality("fp16-amp", 0.90, 0.91, 0.92)
    worse = quality("fp16-amp", 0.50, 0.51, 0.52)
    assert against(worse, good, good, good, quality("fp16-amp", 0.9))[0].status == "worse"


def test_what_is_equal_is_the_same_though_nothing_may_be_lost():
    old, found = step(10.0, pool_bytes=GIB), quality("fp16-amp", 0.90, 0.91, 0.92)
    assert by_metric(against(old, old, margins=Margins(memory=0)))["graph memory"].status == "same"
    assert against(found, found, margins=Margins(points=0))[0].status == "same"


@pytest.mark.parametrize("accepted", [True, False])
@pytest.mark.parametrize("record", [parity(), race(), drift(fp32=0.1)])
def test_what_is_no_figure_of_a_case_is_not_compared(record, accepted):
    assert against(record, *([record] if accepted else [])) == []


def test_margins_that_are_not_given_are_what_the_record_requires():
    required = Requirements(tolerance_points=2.0, update_noise=0.05)
    scores = quality("fp16-amp", 0.90, 0.91, 0.92), quality("fp16-amp", 0.885, 0.895, 0.905)
    old, new = (record.model_copy(update={"requirements": required}) for record in scores)
    (regression,) = against(new, old, margins=Margins())
    assert (regression.status, regression.limit) == ("same", -2.0)
    assert against(new, old, margins=Margins(points=1.0))[0].status == "worse"
    errors = numerics(update_error=0.04, requirements=required), numerics(update_error=0.001, requirements=required)
    assert by_metric(against(*errors, margins=Margins()))["update error"].limit == 0.05
    assert by_metric(against(*errors, margins=Margins(updates=0.01)))["update error"].status == "worse"


def test_the_next_run_is_expected_where_it_would_be_the_same_for_certain():
    expected = expected_seconds(THREE, H200)
    assert expected.centre == pytest.approx(0.010, rel=1e-4)
    (slow,) = against(step(1e3 * expected.high), *THREE)
    assert slow.interval[0] == pytest.approx(1.0, rel=1e-4)


def judged(record, *accepted, **changes):
    return Result(record=record, regressions=tuple(against(record, *accepted)), **changes)


def test_only_what_is_worse_and_can_be_measured_again_needs_confirmation():
    assert needs_confirmation(judged(step(10.5), *THREE))
    assert not needs_confirmation(judged(step(10.5), *THREE, confirmation="it finds no memory"))
    assert not needs_confirmation(judged(step(10.15), *THREE))
    assert not needs_confirmation(judged(quality("fp16-amp", 0.5, 0.5, 0.5), quality("fp16-amp", 0.9, 0.9, 0.9)))


def test_what_all_share_has_the_margin_that_is_given():
    assert common_change(everything(1.05), Margins(step_time=10.0), H200).status == "same"


def compiled(seconds, warm=False):
    return step(10.0, compilation=Compilation(seconds=seconds, warm=warm, graphs=1))


@pytest.mark.parametrize(
    ("before", "now", "status"), [(20.0, 29.0, "same"), (20.0, 31.0, "worse"), (2.0, 6.9, "same"), (2.0, 7.1, "worse")]
)
def test_to_compile_may_take_half_as_long_again_or_five_seconds_more(before, now, status):
    found = by_metric(against(compiled(now), compiled(before), compiled(before)))["compile time"]
    assert found.status == status
    assert f"was compiled in {now:.1f} s, not from a cache, in {before:.1f} s in 2 accepted runs" in found.sentence


def test_what_was_in_the_cache_is_compared_with_what_was():
    assert "compile time" not in by_metric(against(compiled(30.0), compiled(3.0, warm=True)))
    found = by_metric(against(compiled(9.0, warm=True), compiled(30.0), compiled(3.0, warm=True)))["compile time"]
    assert (found.status, found.limit) == ("worse", 8.0)


def test_a_time_to_compile_stands_as_it_is():
    """A second process would find in the cache what the first has compiled."""
    found = against(compiled(90.0), compiled(20.0))
    result = Result(record=compiled(90.0), regressions=tuple(found))
    assert not needs_confirmation(result)
    assert by_metric(confirmed(found, []))["compile time"].status == "worse"


def test_what_torch_launches_is_judged_as_what_python_launches():
    reduced = step(10.0).model_copy(update={"case": step(10.0).case.model_copy(update={"execution": "reduce-overhead"})})
    assert against(reduced, reduced) == []
    assert common_change(everything(1.05), Margins(step_time=10.0), H200).status == "same"


# What is assumed before any run is seen


def paced(milliseconds, *limits, mhz=(1980,)):
    return step(milliseconds, gpu=gpu(*limits, mhz=mhz))


def test_one_accepted_run_is_enough_to_be_the_same():
    assert against(step(10.0), step(10.0))[0].status == "same"


@pytest.mark.parametrize(
    ("accepted", "status"),
    [
        ([paced(10.0)] * 3, "worse"),
        ([paced(10.0, mhz=(1965, 1980))] * 3, "worse"),
        ([paced(10.0), paced(10.0), paced(10.0, "power cap", mhz=(1980,))], "undecided"),
        ([paced(10.0), paced(10.0), paced(10.0, mhz=(1950, 1980))], "undecided"),
        ([step(10.0, gpu=None)] * 3, "undecided"),
    ],
    ids=["steady", "within a step", "power limit", "wandering", "not known"],
)
def test_accepted_runs_tell_how_far_runs_differ(accepted, status):
    """And never the new run, which may be at its power limit for a change."""
    for new in (paced(10.23), paced(10.23, "power cap", mhz=(1700, 1900))):
        assert against(new, *accepted)[0].status == status


def at_clock(mhz, slower=1.0, **changes):
    """A step that follows the clock."""
    return step(10.0 * slower * 1980 / mhz, **{"gpu": gpu(mhz=(mhz,))} | changes)


THREE_CLOCKS = (1980, 1935, 1890)


def test_what_another_clock_does_is_taken_out():
    """As accepted runs of three clocks tell."""
    accepted = [at_clock(mhz) for mhz in THREE_CLOCKS]
    (same,) = against(at_clock(1875), *accepted)
    assert (same.status, same.value) == ("same", pytest.approx(10.56))
    assert same.ratio == pytest.approx(1.0, abs=2e-3)
    assert same.value < same.limit == pytest.approx(same.value / same.ratio * math.exp(Margins().time("graph")))
    assert " % at one clock (+3.2 % as measured) from 3 accepted runs, " in same.sentence
    (worse,) = against(at_clock(1875, slower=1.05), *accepted)
    assert (worse.status, worse.value > worse.limit) == ("worse", True)
    assert worse.sentence.endswith(". The clock was 1875 MHz, 1935 in accepted runs")


def test_kernels_at_another_clock_explain_nothing():
    before, after = (profile_of({SGEMM: (10, seconds)}) for seconds in (0.01, 0.011))
    (worse,) = against(at_clock(1875, slower=1.05, profile=after), *(at_clock(mhz, profile=before) for mhz in THREE_CLOCKS))
    assert worse.status == "worse"
    assert "device time" not in worse.sentence


def test_a_step_that_is_slower_for_heat_is_not_excused():
    accepted = [paced(10.0)] * 3
    (hot,) = against(paced(10.5, "thermal slowdown", mhz=(1890,)), *accepted)
    assert " at one clock" not in hot.sentence


def test_times_are_compared_by_the_shortest_block():
    """At the power limit the others hang on how long the clock was held back."""
    held_back = step(10.0, blocks=Blocks(steps=1, seconds=(0.01, 0.0106, 0.0107)))
    (regression,) = against(held_back, *THREE)
    assert (regression.status, regression.value) == ("same", 10.0)


def test_a_clock_that_is_another_is_named():
    (regression,) = against(paced(11.0, mhz=(1800,)), *THREE)
    assert regression.sentence.endswith(". The clock was 1800 MHz, 1980 in accepted runs")
    assert "MHz" not in against(step(11.0), *THREE)[0].sentence


def test_a_kind_of_gpu_that_is_not_calibrated_is_only_reported():
    match = match_baselines(step(20.0), [run(old) for old in THREE])
    (regression,) = regressions(match, Margins(), None)
    assert (regression.status, regression.passed) == ("undecided", True)
    assert "Reported only: this kind of GPU is not calibrated yet, which `python -m mpcore calibrate" in regression.sentence
    common = common_change(everything(1.5), Margins(), None)
    assert (common.status, "Reported only" in common.sentence) == ("undecided", True)
    slow, fast = (step(ms).model_copy(update={"device": "cpu"}) for ms in (100.0, 10.0))
    on_cpu = regressions(match_baselines(slow, [run(fast)]), Margins(step_time=20.0), None)
    assert on_cpu[0].status == "worse"  # with a margin that somebody has given


def test_what_few_cases_share_is_less_certain():
    def low(count):
        return common_change(everything(1.02, count=count), Margins(), H200).interval[0]

    assert low(60) > low(10) > low(4)


def test_one_run_and_a_half_per_cent_in_all_cases_are_enough():
    assert common_change(everything(1.015, count=50, runs=1), Margins(), H200).status == "worse"


def test_exactly_the_tolerance_may_be_lost():
    """As against FP32."""
    regression = against(quality("fp16-amp", 0.99, 0.99, 0.99), quality("fp16-amp", 1.0, 1.0, 1.0))[0]
    assert (regression.status, regression.value, regression.limit) == ("same", -1.0, -1.0)


def test_clocks_that_wander_in_most_cases_wander_together():
    def shared(mhz):
        workloads = [f"w{i}" for i in range(20)]
        accepted = [run(*(step(10.0, workload=w, gpu=gpu(mhz=(1980, 1980 - n * mhz))) for w in workloads)) for n in range(3)]
        matches = [match_baselines(step(10.3, workload=w), accepted) for w in workloads]
        return common_change(matches, Margins(), H200).status

    assert (shared(0), shared(30)) == ("worse", "undecided")


@pytest.mark.parametrize(
    ("limits", "mhz", "status"),
    [((), 1980, "worse"), ((), 1920, "undecided"), (("power cap",), 1920, "worse"), ((), 1965, "worse")],
    ids=["the same clock", "another clock", "at its power limit", "within a step"],
)
def test_a_machine_whose_clock_is_another_is_no_change_of_the_code(limits, mhz, status):
    """What is slower for its power limit is slower for a reason; no step can change a clock otherwise."""
    (regression,) = against(paced(10.3, *limits, mhz=(mhz,)), step(10.0))
    assert regression.status == status
    assert ("The clock was 1920 MHz, 1980 in accepted runs" in regression.sentence) == (mhz == 1920)


TWENTY = [f"w{i}" for i in range(20)]


def together(slower, unknown=()):
    """All cases at another clock. unknown: those whose clock the first accepted run does not know."""
    accepted = [
        run(
            *(at_clock(mhz, workload=w, **({"gpu": None} if mhz == 1980 and w in unknown else {})) for w in TWENTY),
            path=str(mhz),
        )
        for mhz in THREE_CLOCKS
    ]
    new = [at_clock(1875, slower, workload=w) for w in TWENTY]
    return common_change([match_baselines(record, accepted) for record in new], Margins(), H200)


def test_what_another_clock_does_to_all_is_taken_out():
    same = together(1.0)
    assert same.status == "same"
    assert " at one clock from 3 accepted runs" in same.sentence
    assert together(1.04).status == "worse"


def test_where_a_run_does_not_know_its_clocks_no_case_is_held_to_a_steady_one():
    assert together(1.0, unknown=TWENTY).status == "undecided"


def test_a_machine_whose_clock_is_another_is_not_a_change_to_all_either():
    accepted = [run(*(step(10.0, workload=f"w{i}") for i in range(20)))] * 3
    for mhz, status in ((1980, "worse"), (1920, "undecided")):
        new = [step(10.3, workload=f"w{i}", gpu=gpu(mhz=(mhz,))) for i in range(20)]
        assert common_change([match_baselines(r, accepted) for r in new], Margins(), H200).status == status


@pytest.mark.parametrize(("again", "status"), [(100, "worse"), (None, "same"), (120, "same")])
def test_memory_is_compared_with_the_less_that_an_accepted_run_measured(again, status):
    """What a second measurement had cleared is no reason to take as much again."""
    first = step(10.0, pool_bytes=106 * GIB)
    second = again and first.model_copy(update={"pool_bytes": again * GIB})
    accepted = run(first)
    results = tuple(result.model_copy(update={"confirmation": second}) for result in accepted.results)
    match = match_baselines(first, [accepted.model_copy(update={"results": results})])
    assert by_metric(regressions(match, Margins(), H200))["graph memory"].status == status
