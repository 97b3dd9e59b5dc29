import json
import math
import statistics

import pytest
from pydantic import ValidationError

from mpcore.gate import speedup
from mpcore.records import (
    SCHEMA,
    Blocks,
    Case,
    Divergence,
    Family,
    GpuState,
    Kernel,
    Numerics,
    Parity,
    Profile,
    Quality,
    Reference,
    Result,
    Speed,
    Training,
    Verdict,
)
from mpcore.store import RunError, load

CASE = Case(workload="bert-imdb", precision="bf16-autocast", size="tiny")
SHARED = {"case": CASE, "workload_version": 1, "device": "cpu", "batch_size": 32, "unit": "reviews"}


def speed(**changes):
    fields = {
        "blocks": Blocks(steps=4, seconds=(1.0, 3.0, 2.0)),
        "eager": None,
        "references": {},
        "peak_allocated_bytes": None,
        "peak_reserved_bytes": None,
        "pool_bytes": None,
        "loss_before": 0.7,
        "loss_after": 0.6,
        "loss_scale": None,
        "skipped_steps": 0,
        "flops_per_step": 10,
        "half_flops_share": 0.5,
        "ceiling_flops": None,
        "profile": None,
        "gpu": None,
        "dropped_blocks": 0,
    }
    return Speed(**SHARED | fields | changes)


def training(seed=0, **changes):
    fields = {
        "steps": 3,
        "train_seconds": 2.0,
        "evaluation_seconds": 1.0,
        "metrics": {"accuracy": 0.75},
        "confusion": ((3, 1), (1, 3)),
        "steps_per_point": 1,
        "losses": (0.7, 0.6, 0.5),
        "loss_scales": (),
        "skipped_steps": 0,
        "diverged": None,
    }
    return Training(seed=seed, **fields | changes)


def quality(*trainings):
    fields = {"weights": "random", "data": "embedded", "rows": {"train": 8, "test": 8}, "metric": "accuracy"}
    return Quality(**SHARED | fields, trainings=trainings or (training(),))


def numerics(**changes):
    fields = {
        "seconds": 1.0,
        "loss_error": 1e-3,
        "gradient_error": 1e-2,
        "flushed_share": 0.0,
        "updates": 20,
        "update_error": 1e-2,
        "skipped_steps": 0,
        "half_flops_share": 0.9,
    }
    return Numerics(**SHARED | fields | changes)


def parity(**changes):
    fields = {
        "rival": "Fabric",
        "rival_version": "2.6.1",
        "ours": Blocks(steps=4, seconds=(1.0, 3.0, 2.0)),
        "theirs": Blocks(steps=2, seconds=(2.0, 1.5, 5.0)),
    }
    return Parity(**SHARED | fields | changes)


def profile(*seconds):
    """Of a matrix product, and of what else there is: families that hold more than the kernels that are listed."""
    families = tuple(Family(name=f"family {i}", bits=16, count=2.5, seconds=s) for i, s in enumerate(seconds))
    gemm = Kernel(name="gemm", count=2, seconds=seconds[0] / 2)
    return Profile(kernels=(gemm,), rest=Kernel(name="the rest", count=8, seconds=0.25), families=families)


def gpu(at=(0.0, 1.0, 2.0, 3.0), joules=(7.0, 8.0, 11.0, 12.0)):
    n = len(at)
    return GpuState(
        at_seconds=at,
        sm_mhz=(1980,) * n,
        watts=(500.0,) * n,
        celsius=(50,) * n,
        joules=joules,
        limits=("power cap",),
        other_processes=1,
    )


def verdict(status, **changes):
    fields = {"kind": "speed", "case": CASE.id, "metric": "learning", "value": 1.0, "limit": 2.0, "sentence": "it fell"}
    return Verdict(status=status, **fields | changes)


APART = Reference(blocks=Blocks(steps=2, seconds=(4.0, 5.0)), rounds=None)
IN_TURNS = Reference(
    blocks=Blocks(steps=2, seconds=(2.0, 1.5, 5.0)),
    rounds=Blocks(steps=4, seconds=(1.0, 3.0, 2.0)),
)
RECORDS = {
    "speed": speed(references={"fp32": IN_TURNS}),
    "speed of a graph on a GPU": speed(
        device="cuda",
        eager=Blocks(steps=1, seconds=(3.0,)),
        references={"fp32": APART, "tf32": IN_TURNS},
        drift={"fp32": -0.001},
        pool_bytes=2**30,
        ceiling_flops=7e14,
        profile=profile(0.5, 0.25),
        gpu=gpu(),
        dropped_blocks=1,
    ),
    "quality": quality(training(diverged=Divergence(step=2, reason="the loss is not finite"))),
    "numerics": numerics(),
    "parity": parity(scores={"ours": 0.9, "theirs": 0.875}),
}


@pytest.mark.parametrize("kind", RECORDS)
def test_a_result_comes_back_from_json_as_it_was(kind):
    result = Result(record=RECORDS[kind], verdicts=(verdict("same"),))
    back = Result.model_validate(json.loads(json.dumps(result.model_dump(mode="json"), allow_nan=False)))
    assert back == result
    assert type(back.record) is type(RECORDS[kind])


def test_a_result_is_stored_with_its_layout():
    assert Result(record=speed()).model_dump(mode="json")["layout"] == SCHEMA == 3


def test_a_result_of_the_layout_before_is_refused(tmp_path):
    path = tmp_path / "0001_run.json"
    result = Result(record=numerics()).model_dump(mode="json") | {"layout": 1}
    content = {
        "machine_info": {"mpcore": {}},
        "mpcore": {"command": "pytest benchmarks"},
        "commit_info": {"id": None},
        "datetime": "2026-01-02T03:04:05.678901+00:00",
        "benchmarks": [{"fullname": "test_numerics", "extra_info": {"mpcore": result}}],
    }
    path.write_text(json.dumps(content))
    with pytest.raises(RunError) as caught:
        load(path)
    assert str(caught.value) == f"{path}, test_numerics: layout 1, this version reads 2 to 3"


def test_a_record_of_an_unknown_kind_is_refused():
    content = Result(record=speed()).model_dump(mode="json")
    content["record"]["kind"] = "smell"
    with pytest.raises(ValidationError, match="smell"):
        Result.model_validate(content)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_figure_that_is_not_finite_becomes_none(value):
    assert speed(loss_after=value).loss_after is None
    assert numerics(gradient_error=value).gradient_error is None
    assert training(losses=(0.7, value)).losses == (0.7, None)
    assert verdict("same").model_validate(verdict("same").model_dump() | {"value": value}).value is None


def test_a_finite_figure_stays():
    assert speed(loss_after=0.25).loss_after == 0.25


@pytest.mark.parametrize("value", ["low", [1.0], {}])
def test_a_figure_that_is_none_is_refused_by_its_name(value):
    with pytest.raises(ValidationError, match="loss_after"):
        speed(loss_after=value)


@pytest.mark.parametrize(
    "record",
    [
        CASE,
        speed().blocks,
        speed(),
        quality(),
        numerics(),
        parity(),
        APART,
        profile(1.0),
        profile(1.0).kernels[0],
        profile(1.0).families[0],
        gpu(),
        verdict("same"),
    ],
    ids=lambda record: type(record).__name__,
)
def test_a_record_is_frozen(record):
    field = next(iter(type(record).model_fields))
    with pytest.raises(ValidationError, match="frozen"):
        setattr(record, field, getattr(record, field))


@pytest.mark.parametrize(
    "record",
    [CASE, speed(), quality(), numerics(), parity(), APART, profile(1.0), gpu(), verdict("same"), Result(record=speed())],
    ids=lambda record: type(record).__name__,
)
def test_a_key_that_is_not_known_is_refused(record):
    with pytest.raises(ValidationError, match="colour"):
        type(record).model_validate(record.model_dump() | {"colour": "red"})


@pytest.mark.parametrize("seconds", [(), (0.0,), (-1.0,)])
def test_blocks_need_times_above_zero(seconds):
    with pytest.raises(ValidationError, match="seconds"):
        Blocks(steps=1, seconds=seconds)


def test_an_id_names_workload_precision_execution_and_size():
    assert CASE.id == "bert-imdb-bf16-autocast-eager-tiny"


def test_a_case_in_another_precision_differs_in_nothing_else():
    other = CASE.in_precision("fp32")
    assert other.precision == "fp32"
    assert other.in_precision(CASE.precision) == CASE


def test_the_time_of_a_step_is_the_median_block_over_its_steps():
    assert speed().blocks.step_seconds == 0.5


def test_units_per_second_are_a_batch_over_the_time_of_a_step():
    assert speed().units_per_second == 64


def test_a_speedup_in_turns_is_the_geometric_mean_of_the_ratios_of_neighbouring_blocks():
    # which per step are 4, 1 and 5; the ratio of the medians would be 2
    assert speed(references={"fp32": IN_TURNS}).speedup("fp32") == pytest.approx((4 * 1 * 5) ** (1 / 3))


def test_a_speedup_in_turns_is_that_of_the_rounds_and_not_of_the_blocks_alone():
    alone = Blocks(steps=1, seconds=(100.0, 100.0))
    assert speed(blocks=alone, references={"fp32": IN_TURNS}).speedup("fp32") == pytest.approx(20 ** (1 / 3))


def test_a_speedup_apart_is_the_ratio_of_geometric_means():
    # there are not as many blocks of the one as of the other
    measured = speed(references={"fp32": APART})
    own = statistics.geometric_mean(measured.blocks.seconds) / measured.blocks.steps
    assert measured.speedup("fp32") == pytest.approx((4 * 5) ** 0.5 / 2 / own)


@pytest.mark.parametrize("reference", [APART, IN_TURNS], ids=["apart", "in turns"])
def test_a_speedup_is_the_centre_of_its_interval(reference):
    measured = speed(references={"fp32": reference})
    assert measured.speedup("fp32") == pytest.approx(speedup(measured, "fp32").centre)


def test_there_is_no_speedup_over_a_mode_that_was_not_timed():
    assert speed(references={"tf32": APART}).speedup("fp32") is None


@pytest.mark.parametrize("seconds", [(1.0, 2.0), (1.0, 2.0, 3.0, 4.0)])
def test_a_round_needs_its_partner(seconds):
    with pytest.raises(ValidationError, match=f"3 blocks took turns with {len(seconds)}"):
        Reference(blocks=IN_TURNS.blocks, rounds=Blocks(steps=4, seconds=seconds))


def test_what_is_reached_of_the_ceiling_is_flops_over_time_over_the_ceiling():
    # 10 operations in half a second
    assert speed(ceiling_flops=80.0).flops_per_second == 20
    assert speed(ceiling_flops=80.0).ceiling_share == 0.25


def test_the_launch_overhead_is_how_much_longer_an_eager_step_takes():
    assert speed(eager=Blocks(steps=2, seconds=(3.0, 2.0, 9.0))).launch_overhead == 3


def test_a_gpu_is_busy_for_a_share_of_an_eager_step():
    eager = Blocks(steps=1, seconds=(1.0,))
    busy = profile(0.25, 0.125)
    assert speed(device="cuda", profile=busy, eager=eager).busy_share == pytest.approx(0.375)
    assert speed(device="cuda", profile=busy).busy_share == pytest.approx(0.75)  # of the blocks, which are eager ones


def test_a_gpu_is_busy_for_no_more_than_a_step():
    # a profiler may make kernels a little longer than they are
    assert speed(device="cuda", profile=profile(0.505)).busy_share == 1


def test_a_cpu_is_not_waited_for():
    assert speed(device="cpu", profile=profile(0.25)).busy_share is None


def test_power_is_the_slope_of_energy_over_time():
    # by least squares; the last over the first would be 5 / 3
    assert gpu().mean_watts == pytest.approx(1.8)
    assert speed(gpu=gpu()).joules_per_step == pytest.approx(0.9)


@pytest.mark.parametrize(
    "state",
    [gpu(at=(0.0, 1.0, 2.0), joules=(7.0, 8.0, 9.0)), gpu(joules=(7.0, 7.0, 7.0, 7.0)), gpu(joules=())],
    ids=["three readings", "a counter that stands still", "no energy, since others worked as well"],
)
def test_there_is_no_energy_where_it_cannot_be_known(state):
    assert state.mean_watts is None
    assert speed(gpu=state).joules_per_step is None


@pytest.mark.parametrize("figure", ["ceiling_share", "launch_overhead", "busy_share", "joules_per_step"])
def test_there_is_no_figure_of_what_was_not_measured(figure):
    assert getattr(speed(device="cuda"), figure) is None


def test_the_time_of_a_profile_is_that_of_all_families():
    assert profile(0.5, 0.25, 0.125).seconds == pytest.approx(0.875)


@pytest.mark.parametrize("bits", [8, 64, "16"])
def test_a_family_is_of_16_or_32_bits_or_of_none(bits):
    with pytest.raises(ValidationError, match="bits"):
        Family(name="cast and copy", bits=bits, count=1, seconds=1.0)


def test_a_parity_is_the_mean_ratio_of_pairs():
    """Of logarithms, as the gate judges it."""
    assert parity().ratio == pytest.approx((2.0 / 1.0 * 1.5 / 3.0 * 5.0 / 2.0) ** (1 / 3) * 4 / 2)


@pytest.mark.parametrize("seconds", [(1.0, 2.0), (1.0, 2.0, 3.0, 4.0)])
def test_a_block_of_ours_needs_one_of_theirs(seconds):
    with pytest.raises(ValidationError, match=f"3 blocks took turns with {len(seconds)}"):
        parity(theirs=Blocks(steps=2, seconds=seconds))


def test_figures_of_a_quality_are_means_of_metrics_and_medians_of_times():
    several = quality(
        training(0, metrics={"accuracy": 0.5}, train_seconds=1.0, evaluation_seconds=9.0),
        training(1, metrics={"accuracy": 0.5}, train_seconds=2.0, evaluation_seconds=4.0),
        training(2, metrics={"accuracy": 0.8}, train_seconds=9.0, evaluation_seconds=5.0),
    )
    assert several.mean("accuracy") == pytest.approx(0.6)
    assert (several.train_seconds, several.evaluation_seconds) == (2.0, 5.0)


def test_one_training_that_diverged_is_enough():
    assert not quality(training(0), training(1)).diverged
    assert quality(training(0), training(1, diverged=Divergence(step=1, reason="nan"))).diverged


@pytest.mark.parametrize(
    ("status", "passed"), [("same", True), ("better", True), ("new", True), ("worse", False), ("undecided", False)]
)
def test_a_result_passes_where_all_its_verdicts_do(status, passed):
    assert Result(record=speed(), verdicts=(verdict("same"), verdict(status))).passed is passed


@pytest.mark.parametrize("status", ["worse", "undecided", "same"])
def test_what_is_known_of_a_mode_passes(status):
    known = verdict(status, known=True)
    assert known.passed
    assert Result(record=speed(), verdicts=(verdict("same"), known)).passed


def test_what_is_known_excuses_no_other_verdict():
    assert not Result(record=speed(), verdicts=(verdict("worse", known=True), verdict("worse"))).passed


def test_nothing_is_known_unless_it_is_said():
    content = verdict("worse").model_dump()
    del content["known"]  # as results were saved before there was such a field
    assert not Verdict.model_validate(content).passed
