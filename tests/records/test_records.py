import json
import math
import statistics
from itertools import count

import pytest
from pydantic import ValidationError

from mpcore.gate import speedup
from mpcore.records import (
    ALL_CASES,
    LAYOUT,
    Accepted,
    Blocks,
    Case,
    Check,
    Collective,
    Compilation,
    Divergence,
    Drift,
    Entrant,
    FailedTest,
    Family,
    GpuState,
    Hardware,
    Kernel,
    Machine,
    Numerics,
    Operation,
    Parity,
    Profile,
    Quality,
    Race,
    Rank,
    RankTime,
    Reference,
    Regression,
    Requirements,
    Result,
    Run,
    Scores,
    Sensitivity,
    Speed,
    TensorErrors,
    Training,
    Turns,
    Work,
)

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
        "low_precision_flops_share": 0.5,
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


def quality(*trainings, **changes):
    fields = {"weights": "random", "data": "embedded", "rows": {"train": 8, "test": 8}, "metric": "accuracy"}
    return Quality(**SHARED | fields | changes, trainings=trainings or (training(),))


def trained(*accuracies, **changes):
    """From seeds 0, 1, 2 and so on."""
    return quality(*(training(seed, metrics={"accuracy": a}) for seed, a in enumerate(accuracies)), **changes)


def scores(*accuracies):
    return Scores(precision="fp32", by_seed=dict(zip(count(), accuracies)))


def numerics(**changes):
    fields = {
        "seconds": 1.0,
        "loss_error": 1e-3,
        "gradient_error": 1e-2,
        "flushed_share": 0.0,
        "updates": 20,
        "update_error": 1e-2,
        "skipped_steps": 0,
        "low_precision_flops_share": 0.9,
    }
    return Numerics(**SHARED | fields | changes)


def parity(**changes):
    fields = {
        "trainer": "Fabric",
        "trainer_version": "2.6.1",
        "ours": Blocks(steps=4, seconds=(1.0, 3.0, 2.0)),
        "theirs": Blocks(steps=2, seconds=(2.0, 1.5, 5.0)),
    }
    return Parity(**SHARED | fields | changes)


def entrant(seconds=(1.0, 2.0), **changes):
    case = CASE.model_copy(update={"trainer": "plain", "execution": "inductor"} | changes)
    return Entrant(case=case, trainer="plain PyTorch", trainer_version="2.11.0", blocks=Blocks(steps=2, seconds=seconds))


def turns(ours=(1.0, 3.0), theirs=(2.0, 2.0), **changes):
    return Turns(ours=entrant(ours, trainer="mpcore"), theirs=entrant(theirs), **changes)


def race(**changes):
    fields = {"ours": (entrant(trainer="mpcore"),), "theirs": (entrant(),), "fastest": turns()}
    return Race(**SHARED | fields | changes)


def drift(**shares):
    return Drift(**SHARED, shares=shares or {"fp32": -0.001})


def work(**changes):
    names = ("casts", "cast_bytes", "saved_bytes", "parameter_bytes", "gradient_bytes", "optimiser_bytes")
    operations = {Operation("mm", "bfloat16", "8x8 8x8", "layer.0", "forward").text: 2}
    others = {"flops_by_dtype": {"bfloat16": 2048}, "software": {"torch": "2.11.0"}, "synchronisations": ()}
    fields = {"operations": operations} | others | dict.fromkeys(names, 3)
    return Work(**SHARED | fields | changes)


def profile(*seconds):
    """Of a matrix product, and of what else there is: families that hold more than the kernels that are listed."""
    families = tuple(Family(name=f"family {i}", bits=16, count=2.5, seconds=s) for i, s in enumerate(seconds))
    gemm = Kernel(name="gemm", count=2, seconds=seconds[0] / 2)
    return Profile(kernels=(gemm,), families=families)


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


JUDGED = {"kind": "speed", "case": CASE.id, "metric": "step time", "value": 1.0, "limit": 2.0, "sentence": "it is so"}


def check(status="passed", **changes):
    return Check(status=status, **JUDGED | changes)


def regression(status="same", **changes):
    return Regression(status=status, **JUDGED | changes)


def run(*results, **changes):
    hardware = {"device": "cpu", "name": "x", "count": 1, "cpu": "x", "cores": 2}
    unknown = dict.fromkeys(("memory_bytes", "power_limit_watts", "mig", "uuid", "capability"))
    machine = Machine(hardware=Hardware(**hardware, **unknown), software={"torch": "2.11.0"})
    fields = {"command": "pytest", "datetime": "2026-01-02T03:04:05+00:00", "commit": None, "machine": machine}
    return Run(**fields | changes, results=results)


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
        pool_bytes=2**30,
        ceiling_flops=7e14,
        profile=profile(0.5, 0.25),
        gpu=gpu(),
        dropped_blocks=1,
        compilation=Compilation(seconds=1.5, warm=True, graphs=2, graph_breaks=("item",), while_timed=("shape",)),
        ranks=(Rank(rank=0, blocks=IN_TURNS.blocks, weights_hash="abc", time=RankTime(compute=1.0, exposed=0.5)),),
        collectives=(Collective(operation="allreduce_", dtype="float32", calls=1, elements=4, bytes=16),),
        network={"backend": "nccl", "NCCL_NVLS_ENABLE": "0"},
        requirements=Requirements(must_beat=("fp32",), at_least=1.5),
    ),
    "accuracy": quality(
        training(diverged=Divergence(step=2, reason="the loss is not finite")),
        reference=scores(0.75, None),
        sensitivity=Sensitivity(tolerances_to_ceiling=2.5, found=9, trials=10),
        requirements=Requirements(tolerance_points=1.0),
    ),
    "numerics": numerics(
        tensors=(TensorErrors(name="layer.0.weight", norm_share=0.5, gradient_error=None, update_error=0.1),),
        requirements=Requirements(loss_error=0.5, low_precision_share=(0.9, 1.0)),
    ),
    "parity": parity(scores={"ours": 0.9, "theirs": 0.875}),
    "race": race(missing={"x": "no memory"}, failed={"y": "it diverged"}, same_mode=turns(theirs=(1.0,), apart=True)),
    "drift": drift(fp32=-0.001, tf32=0.5),
    "work": work(kernels={"gemm": 3}, graph_signature="abc"),
}


def through_json(record):
    return type(record).model_validate(json.loads(json.dumps(record.model_dump(mode="json"), allow_nan=False)))


@pytest.mark.parametrize("kind", RECORDS)
def test_a_result_comes_back_from_json_as_it_was(kind):
    result = Result(record=RECORDS[kind], checks=(check(),), regressions=(regression(interval=(0.5, math.inf)),))
    back = through_json(result)
    assert back == result
    assert type(back.record) is type(RECORDS[kind])


@pytest.mark.parametrize("confirmation", [None, RECORDS["speed"], "out of memory"], ids=["none", "a speed", "a sentence"])
def test_what_confirms_comes_back_from_json_as_it_was(confirmation):
    assert through_json(Result(record=speed(), confirmation=confirmation)).confirmation == confirmation


def test_a_run_comes_back_from_json_as_it_was_without_its_path():
    failed = FailedTest(test="test_speed[x]", name="speed:x", sentence="it is slow", strict=True)
    accepted = Accepted(
        reason="so", datetime="2026-01-03T00:00:00+00:00", allowed_failures=("test_speed[x]",), reset=("speed:x",)
    )
    whole = run(Result(record=speed()), failed=(failed,), missed=1, common=regression(case=ALL_CASES), accepted=accepted)
    assert through_json(whole) == whole
    assert through_json(whole.model_copy(update={"path": "here.json"})) == whole


def test_a_run_is_stored_with_its_layout():
    assert run().model_dump(mode="json")["layout"] == LAYOUT


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
    assert check(value=value).value is None
    assert regression(interval=(value, 1.0)).interval == (None, 1.0)


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
        race(),
        entrant(),
        turns(),
        APART,
        profile(1.0),
        profile(1.0).kernels[0],
        profile(1.0).families[0],
        gpu(),
        check(),
        regression(),
        drift(),
        work(),
        run(),
    ],
    ids=lambda record: type(record).__name__,
)
def test_a_record_is_frozen(record):
    field = next(iter(type(record).model_fields))
    with pytest.raises(ValidationError, match="frozen"):
        setattr(record, field, getattr(record, field))


@pytest.mark.parametrize(
    "record",
    [
        CASE,
        speed(),
        quality(),
        numerics(),
        parity(),
        race(),
        APART,
        profile(1.0),
        gpu(),
        check(),
        Result(record=speed()),
        run(),
    ],
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


@pytest.mark.parametrize(
    ("changes", "end"),
    [
        ({"batch_size": 8}, "-b8"),
        ({"keep_fp32": ("head", "*.router")}, "-keep-head+*.router"),
        ({"strategy": "ddp", "gpus": 2}, "-ddp2"),
        ({"trainer": "fabric"}, "-by-fabric"),
        ({"batch_size": 8, "strategy": "fsdp", "gpus": 4, "trainer": "plain"}, "-b8-fsdp4-by-plain"),
        ({"seed": 1}, ""),
    ],
)
def test_an_id_shows_what_is_not_the_default(changes, end):
    assert CASE.model_copy(update=changes).id == CASE.id + end


def test_a_sentence_begins_with_the_workload_and_who_else_made_its_step():
    assert CASE.subject == "bert-imdb"
    assert CASE.model_copy(update={"trainer": "fabric"}).subject == "bert-imdb by fabric"


def test_a_record_has_the_name_of_its_kind_and_case():
    assert [r.name for r in (speed(), quality(), drift())] == [f"{kind}:{CASE.id}" for kind in ("speed", "accuracy", "drift")]


def test_two_trainers_are_two_records_of_one_case():
    assert parity().identity != parity(trainer="Accelerate").identity
    assert parity().name != parity(trainer="Accelerate").name
    assert speed().identity != numerics().identity


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


def test_what_is_not_among_the_longest_is_one_kernel():
    rest = profile(0.5, 0.25, 0.125).rest
    assert (rest.name, rest.count, rest.seconds) == ("the rest", pytest.approx(5.5), pytest.approx(0.625))


def test_where_all_kernels_are_there_is_no_rest():
    gemm = Kernel(name="gemm", count=2.5, seconds=0.1 + 0.2)
    assert Profile(kernels=(gemm,), families=(Family(name="x", bits=16, count=2.5, seconds=0.3),)).rest is None


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


def test_turns_are_the_mean_ratio_of_pairs():
    assert turns().ratio == pytest.approx((2.0 / 1.0 * 2.0 / 3.0) ** (1 / 2))


def test_a_block_of_ours_needs_one_of_theirs_unless_they_were_timed_apart():
    with pytest.raises(ValidationError, match="2 blocks took turns with 1"):
        turns(theirs=(2.0,))
    assert turns(theirs=(2.0,), apart=True).ratio == pytest.approx(2.0 / 3.0**0.5)


def test_an_entrant_is_called_by_its_trainer_and_one_of_ours_by_its_mode():
    assert entrant().called == "plain PyTorch 2.11.0 by inductor"
    assert entrant(trainer="mpcore", execution="compile").called == f"{CASE.precision} by compile"


def test_what_took_turns_twice_is_told_once():
    assert race().turns == (turns(),)
    assert race(same_mode=turns()).turns == (turns(),)
    assert len(race(same_mode=turns(ours=(1.0, 1.0))).turns) == 2
    assert race(fastest=None).turns == ()


def test_figures_of_a_quality_are_means_of_metrics_and_medians_of_times():
    several = quality(
        training(0, metrics={"accuracy": 0.5}, train_seconds=1.0, evaluation_seconds=9.0),
        training(1, metrics={"accuracy": 0.5}, train_seconds=2.0, evaluation_seconds=4.0),
        training(2, metrics={"accuracy": 0.8}, train_seconds=9.0, evaluation_seconds=5.0),
    )
    assert several.mean("accuracy") == pytest.approx(0.6)
    assert (several.train_seconds, several.evaluation_seconds) == (2.0, 5.0)


def test_scores_are_the_metric_that_counts_by_seed():
    reached = trained(0.5, math.nan)
    assert reached.scores == Scores(precision=CASE.precision, by_seed={0: 0.5, 1: None})
    assert math.isnan(reached.scores.mean)
    assert scores(0.5, 0.75).mean == 0.625


def test_gains_are_points_above_the_mean_of_others_seed_by_seed():
    assert trained(0.5, 0.75, 0.9).gains([scores(0.25, 0.75), scores(0.5, 0.5)]) == pytest.approx([12.5, 12.5])
    assert trained(0.5).gains([Scores(precision="fp32", by_seed={1: 0.5})]) == []
    assert math.isnan(trained(0.5).gains([scores(None)])[0])


def test_gains_where_lower_is_better_are_per_cent():
    lower = trained(2.0, lower_is_better=True)
    assert lower.gains([scores(1.0)]) == pytest.approx([-100 * math.log(2)])
    assert lower.points_above(4.0) == pytest.approx(100 * math.log(2))


def test_points_are_those_above_the_reference():
    assert trained(0.5, 0.75, reference=scores(0.5, 0.5)).points == pytest.approx(12.5)
    assert trained(0.5).points is None


def test_one_training_that_diverged_is_enough():
    assert not quality(training(0), training(1)).diverged
    assert quality(training(0), training(1, diverged=Divergence(step=1, reason="nan"))).diverged


@pytest.mark.parametrize(
    ("status", "passed"), [("passed", True), ("expected_failure", True), ("failed", False), ("inconclusive", False)]
)
def test_what_must_be_reached_fails_until_it_is_shown(status, passed):
    assert check(status).passed is passed
    assert Result(record=speed(), checks=(check(), check(status)), regressions=(regression(),)).passed is passed


@pytest.mark.parametrize("status", ["same", "better", "worse", "changed", "undecided", "new", "incomparable"])
def test_what_is_compared_passes_until_it_is_shown_to_be_worse(status):
    assert regression(status).passed is (status != "worse")
    assert Result(record=speed(), checks=(check(),), regressions=(regression(status),)).passed is (status != "worse")


@pytest.mark.parametrize(
    ("status", "is_open"), [("same", False), ("worse", False), ("changed", True), ("undecided", True), ("incomparable", True)]
)
def test_what_passes_undecided_is_open(status, is_open):
    assert regression(status).open is is_open


def test_what_is_expected_excuses_nothing_else():
    assert not Result(record=speed(), checks=(check("expected_failure"), check("failed"))).passed


def test_a_result_without_judgements_passes():
    assert Result(record=speed()).passed


def test_judgements_are_checks_and_regressions():
    assert Result(record=speed(), checks=(check(),), regressions=(regression("new"),)).judgements == (
        check(),
        regression("new"),
    )


@pytest.mark.parametrize("kind", [Check, Regression])
def test_a_status_is_one_of_few(kind):
    with pytest.raises(ValidationError, match="status"):
        kind(status="good", **JUDGED)


@pytest.mark.parametrize(
    ("required", "low"),
    [
        (Requirements(), False),
        (Requirements(low_precision_share=(0.0, 0.0)), False),
        (Requirements(low_precision_share=(0.9, 1.0)), True),
        (Requirements(low_precision_share=(0.9, 1.0), negative_control=True), False),
    ],
)
def test_a_mode_that_must_compute_in_16_bits_and_succeed(required, low):
    assert required.low_precision is low


def test_a_failed_test_is_of_the_case_in_its_name():
    failed = FailedTest(test="test_step[Fabric-x]", name="parity:bert-fp32-eager-tiny", sentence="it is slow")
    assert (failed.kind, failed.case, failed.strict) == ("parity", "bert-fp32-eager-tiny", False)
    assert failed.model_copy(update={"name": f"{failed.name}:Lightning Fabric"}).case == "bert-fp32-eager-tiny"
    assert FailedTest(test="test_own", sentence="no").case == ""


def test_a_start_of_a_machine_is_a_gpu_and_a_day():
    hardware = run().machine.hardware
    machines = [run().machine.model_copy(update={"hardware": hardware.model_copy(update={"uuid": uuid})}) for uuid in "ab"]
    first, second = (run(machine=machine) for machine in machines)
    assert first.machine_start == first.model_copy(update={"datetime": "2026-01-02T23:00:00+00:00"}).machine_start
    assert first.machine_start != second.machine_start
    assert first.machine_start != first.model_copy(update={"datetime": "2026-01-03T03:04:05+00:00"}).machine_start


def test_a_reason_is_needed():
    with pytest.raises(ValidationError, match="reason"):
        Accepted(reason="", datetime="2026-01-03T00:00:00+00:00")


def card(name="NVIDIA RTX 4090", **changes):
    known = {"device": "cuda", "count": 1, "memory_bytes": 24 * 2**30, "mig": "off", "uuid": "0", "capability": "8.9"}
    limits = {"power_limit_watts": 450.0, "default_watts": 450.0}
    return Hardware(**known | limits | {"name": name, "cpu": "a cpu", "cores": 8} | changes)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({}, "nvidia-rtx-4090"),
        ({"count": 8}, "nvidia-rtx-4090"),
        ({"power_limit_watts": 300.0}, "nvidia-rtx-4090-300w"),
        ({"locked_mhz": 1200}, "nvidia-rtx-4090-1200mhz"),
        ({"label": "gcp-a3"}, "nvidia-rtx-4090-at-gcp-a3"),
        ({"power_limit_watts": 300.0, "locked_mhz": 1200, "label": "x"}, "nvidia-rtx-4090-300w-1200mhz-at-x"),
        ({"name": "NVIDIA RTX 4090 Laptop GPU", "power_limit_watts": 97.3}, "nvidia-rtx-4090-laptop-gpu"),
        ({"device": "cpu", "name": "Some CPU", "label": "x"}, "some-cpu-8-cores-at-x"),
    ],
)
def test_a_key_tells_what_makes_two_machines_comparable(changes, key):
    assert card(**changes).key == key
