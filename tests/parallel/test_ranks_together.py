"""Two ranks over gloo: what they have in common, and faults in how a step is spread, each caught by what it breaks."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from started import PLANTED, case, launcher

from mpcore.device import agreement
from mpcore.gate.checks import checks
from mpcore.measure import joint, parallel
from mpcore.measure.requirements import numerics_limits
from mpcore.precision import precisions
from mpcore.records import Failure, Parallel

FAULTY = str(Path(__file__).parent / "faulty.py")
MODES = {
    "ddp": ("fp32", "bf16-amp", "fp16-amp", "bf16-manual", "fp16-manual", "bf16-true", "bf16-kahan", "bf16-sr"),
    "ddp-overlap": ("bf16-manual", "fp16-manual", "bf16-sr"),
    "ddp-16bit": ("bf16-manual", "fp16-manual", "bf16-amp", "fp16-amp"),
    "fsdp": ("fp32", "bf16-manual", "fp16-manual", "bf16-true"),
    "fsdp-16bit": ("bf16-manual", "fp16-manual"),
}
IN_16_BITS = {("ddp", "bf16-true"), ("ddp", "bf16-kahan"), ("ddp", "bf16-sr"), ("ddp-overlap", "bf16-sr")}
IN_16_BITS |= {(strategy, mode) for strategy in ("ddp-16bit", "fsdp-16bit") for mode in MODES[strategy]}
IN_CALLBACKS = {("ddp-16bit", "bf16-amp"), ("ddp-16bit", "fp16-amp")}
"""A thread of gloo's may do a part of what they average."""
FAULTS = {
    "drift": (
        "fp32",
        "replicas",
        "rank 1 has what the optimiser updates and the weights of the model otherwise than",
    ),
    "looks": ("fp32", "operations of ranks", "with one batch rank 1 does otherwise than rank 0: sum (float32) 0 -> 1, update"),
    "missing": ("fp32", "replicas", "rank 1 has what the optimiser updates and the weights of the model and the state of the"),
    "divisor": ("fp32", "gradient in FP64 in parts", "average in FP64 is 0.5 from the one that FP64 computes on one rank"),
    "at-once": ("bf16-manual", "gradient in bf16-manual in a part for each rank", "average in bf16-manual is 0.50"),
    "not-finite": ("fp32", "gradient in fp32 in parts", "average in fp32 is not finite"),
    "scale": ("fp16-manual", "replicas", "the loss scale otherwise than rank 0 has"),
    "twice": ("fp32", "accumulated gradients", "goes through in parts averages 356 elements of gradients, and has 178"),
    "overflow": ("fp16-manual", "overflow between ranks", "finite on each rank overflow as they are averaged"),
    "overflow-at-once": (
        "fp16-manual",
        "overflow between ranks in one part",
        "finite on each rank overflow as they are averaged",
    ),
    "coarse": ("fp16-manual", "gradient against ddp", "that coarse averages in fp16-manual is"),
    "apart": ("fp16-manual", "skipped steps", "where the last rank's loss is infinite rank 0 did not skip it"),
}
WIDER = {"rounds": "fp64", "without-fp64": "fp32"}
"""Workloads whose errors may be larger, with what they are against."""


@pytest.fixture(scope="module")
def found():
    """By strategy and mode, all measured in one launch."""
    pairs = [(s, mode) for s, modes in MODES.items() for mode in modes] + [(s, mode) for s, (mode, *_) in FAULTS.items()]
    cases = {pair: case("good", strategy=pair[0]).in_precision(pair[1]) for pair in pairs}
    with launcher("good", load=(PLANTED, FAULTY), precisions=("all",)) as ranks:
        measured = ranks.measure(list(cases.values()), kind="parallel")
    return {pair: measured[each] for pair, each in cases.items()}


@pytest.mark.parametrize(("strategy", "mode"), [(s, mode) for s, modes in MODES.items() for mode in modes])
def test_ranks_stay_together(found, strategy, mode):
    record = found[strategy, mode]
    assert isinstance(record, Parallel), record
    assert [check.sentence for check in checks(record) if not check.passed] == []
    assert (record.planted is not None) == mode.startswith("fp16")
    assert (record.repetition is not None) == strategy.startswith("fsdp")
    unseen = (strategy, mode) in IN_CALLBACKS
    assert (record.operations, record.kernels) == (None if unseen else (), None)
    assert record.joint_error < 1e-12
    assert record.one_part.mode_error is not None
    assert (record.one_part.settling is not None) == mode.startswith("fp16")
    assert record.like == {"fsdp": "ddp", "fsdp-16bit": "ddp-16bit"}.get(strategy)
    assert (record.like_error is not None) == strategy.startswith("fsdp")
    (sent,) = [each for each in record.collectives if each.operation == record.reduction]
    assert sent.dtype == str(precisions[mode].dtype if (strategy, mode) in IN_16_BITS else torch.float32).removeprefix("torch.")
    assert (sent.calls, sent.bytes) == (1, sent.elements * (2 if (strategy, mode) in IN_16_BITS else 4))


def test_the_weight_that_drifts_is_named(found):
    assert found["drift", "fp32"].apart == ("0.weight",)


def test_gradients_that_are_not_finite_fail_in_fp64_too(found):
    failed = {check.metric for check in checks(found["not-finite", "fp32"]) if not check.passed}
    assert "gradient in FP64 in parts" in failed


@pytest.fixture(scope="module")
def wider():
    """By workload, strategy and mode, what may err more than the usual."""
    pairs = (("ddp", "fp32"), ("ddp", "bf16-amp"), ("fsdp", "fp32"), ("fsdp", "bf16-manual"))
    cases = {(name, *pair): case(name, strategy=pair[0]).in_precision(pair[1]) for name in WIDER for pair in pairs}
    with launcher(*WIDER, precisions=("all",)) as ranks:
        measured = ranks.measure(list(cases.values()), kind="parallel")
    return {key: measured[each] for key, each in cases.items()}


@pytest.fixture(scope="module")
def repeated():
    """By workload and strategy, whose second training is another."""
    fsdp = ("ordered", "unordered", "without-order", "wrong-without-order", "wrong-without-fp64")
    pairs = [(name, "fsdp") for name in fsdp] + [
        ("good", "noisy"),
        ("without-order", "ddp"),
    ]
    cases = {pair: case(pair[0], strategy=pair[1]).in_precision("fp32") for pair in pairs}
    with launcher(*{name for name, _ in pairs}, load=(PLANTED, FAULTY), precisions=("all",)) as ranks:
        measured = ranks.measure(list(cases.values()), kind="parallel")
    return {pair: measured[each] for pair, each in cases.items()}


def replicas(record):
    assert isinstance(record, Parallel), record
    (found,) = [check for check in checks(record) if check.metric == "replicas"]
    return found


def test_what_torch_adds_in_any_order_is_compared_in_one(repeated):
    record = repeated["ordered", "fsdp"]
    assert replicas(record).sentence.endswith("2 shards are those of a second training, bit for bit")
    assert (record.repetition.excuse, record.repetition.apart) == (None, ())
    assert record.repetition.first == record.repetition.second


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("unordered", "one rank by itself trains otherwise a second time, for its kernels add in any order"),
        ("without-order", "put_ does not have a deterministic implementation (planted.py, line "),
    ],
)
def test_shards_are_not_held_against_a_training_that_cannot_be_the_same(repeated, name, why):
    record = repeated[name, "fsdp"]
    excuse = record.repetition.excuse
    assert why in excuse
    assert replicas(record).passed
    assert replicas(record).sentence.endswith(f"shards are not compared with those of a second training: {excuse}")


@pytest.mark.parametrize(("name", "first"), [("wrong-without-order", "put_"), ("wrong-without-fp64", "kernel")])
def test_what_fails_the_second_time_is_told_by_its_own_cause(repeated, name, first):
    failure = repeated[name, "fsdp"]
    assert "loss() failed: the labels are wrong (planted.py, line " in failure.sentence
    assert first not in failure.sentence


def test_what_is_otherwise_between_ranks_alone_is_a_fault(repeated):
    found = replicas(repeated["good", "noisy"])
    assert not found.passed
    assert "otherwise than in a second training from the same seed. The first weight that differs is" in found.sentence


def test_a_rank_that_has_no_kernels_of_one_order_ends_the_others():
    with launcher("refused-in-rank-1", load=(PLANTED,), precisions=("all",), seconds=60.0) as ranks:
        (failure,) = ranks.measure([case("refused-in-rank-1", strategy="fsdp").in_precision("fp32")], kind="parallel").values()
    assert isinstance(failure, Failure)
    assert "put_ does not have a deterministic implementation" in failure.sentence


def test_what_rounding_alone_does_is_no_fault_on_ranks(wider):
    record = wider["rounds", "ddp", "fp32"]
    assert record.mode_error > numerics_limits(precisions["fp32"].roundoff(), 64.0, masters=True, scales=True).gradient_error
    for (name, *_), each in wider.items():
        assert isinstance(each, Parallel), each
        assert [check.sentence for check in checks(each) if not check.passed] == []
        assert each.reference == WIDER[name]


@pytest.mark.parametrize(("part", "whole", "asked"), [(0.0, 0.0, 0), (0.4, 0.0, 1), (0.0, 0.4, 1)])
def test_what_rounding_does_is_asked_only_of_a_gradient_beyond_the_cap(found, monkeypatch, part, whole, asked):
    record = found["ddp", "bf16-amp"]
    one = record.one_part.model_copy(update={"mode_error": whole})
    record = record.model_copy(update={"mode_error": part, "one_part": one})
    monkeypatch.setattr(parallel, "says_conditioning", lambda workload, rows: False)
    asks = []
    joint = SimpleNamespace(reference="fp64", rows={"x": torch.zeros(2)}, rounding=asks.append)
    setup = SimpleNamespace(case=record.case, requirements=record.requirements, modelled=None)
    assert parallel._required(setup, joint, record) == record.requirements
    assert len(asks) == asked


def test_where_fp64_cannot_run_ranks_are_compared_with_fp32(wider):
    record = wider["without-fp64", "ddp", "bf16-amp"]
    low, full = (numerics_limits(precisions[name].roundoff(), 64.0, masters=True, scales=True) for name in ("bf16-amp", "fp32"))
    assert record.requirements.gradient_error == low.gradient_error + full.gradient_error
    assert (record.fp64_error, record.joint_error) == (None, None)
    assert "from the one that FP32 computes on one rank" in " ".join(check.sentence for check in checks(record))
    assert wider["without-fp64", "fsdp", "fp32"].unlike.startswith("FP64 cannot run it")


ODD = {
    "complex": (("ddp", "fp32"), ("ddp", "bf16-manual"), ("fsdp", "fp32")),
    "no-loss": (("ddp", "fp32"),),
    "sometimes": (("ddp", "fp32"), ("ddp", "bf16-manual")),
    "other-shape": (("ddp", "fp32"), ("ddp", "bf16-manual"), ("fsdp", "fp32")),
}


@pytest.fixture(scope="module")
def odd():
    """By workload, what came of its strategies and modes."""
    cases = {name: [case(name, strategy=s).in_precision(mode) for s, mode in pairs] for name, pairs in ODD.items()}
    plain = case("other-shape", strategy="ddp", trainer="plain")
    with launcher(*ODD, precisions=("all",), trainers=("mpcore", "plain")) as ranks:
        measured = ranks.measure([each for some in cases.values() for each in some] + [plain], kind="parallel")
        launch = ranks._process
        assert launch._broken is None  # all in one launch
    return {name: [measured[each] for each in some] for name, some in cases.items()} | {"plain": [measured[plain]]}


def test_complex_weights_are_averaged_as_pairs_of_numbers(odd):
    *averaged, sharded = odd["complex"]
    for record in averaged:
        assert isinstance(record, Parallel), record
        assert [check.sentence for check in checks(record) if not check.passed] == []
    assert isinstance(sharded, Failure)
    assert sharded.skipped
    assert sharded.sentence.startswith("fsdp shards weights of one format together, and weight is complex")


def test_the_rank_whose_loss_is_not_finite_is_named(odd):
    (record,) = odd["no-loss"]
    failed = {check.metric: check.sentence for check in checks(record) if not check.passed}
    assert ". The loss of rank 1 is not finite. " in failed["gradient in fp32 in parts"]


def test_weights_that_some_ranks_do_not_reach_are_told_by_all(odd):
    for failure in odd["sometimes"]:
        assert isinstance(failure, Failure)
        assert failure.skipped
        assert "the loss does not reach parts." in failure.sentence


def test_ranks_that_build_other_models_are_told_before_anything_is_averaged(odd):
    for failure in odd["other-shape"] + odd["plain"]:
        assert isinstance(failure, Failure)
        other = "build_model() makes other weights on rank 1 than on rank 0, such as 0.weight of [17, 8]"
        assert failure.sentence == f"other-shape: {other}: expected one model on all ranks"


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_caught_and_named(found, fault):
    mode, metric, said = FAULTS[fault]
    record = found[fault, mode]
    assert isinstance(record, Parallel), record
    failed = {check.metric: check.sentence for check in checks(record) if not check.passed}
    assert said in failed[metric]


def test_a_batch_that_is_too_large_for_one_rank_costs_no_more_than_that_comparison(monkeypatch):
    def out_of_memory(*_):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(joint, "_gradients", out_of_memory)
    of_all = joint.Joint({}, {}, "fp64", lambda _: None)
    found = joint._with_whole(None, of_all)
    assert (found.too_large, found.whole_error) == (True, None)
    monkeypatch.setattr(joint, "_on_one_rank", lambda *_: ({}, 2))
    assert joint._with_one(None, of_all).in_one is None


@pytest.mark.parametrize(("error", "once"), [(0.0, True), (1e-3, False)])
def test_gradients_that_parts_do_not_change_are_kept_once(monkeypatch, error, once):
    in_parts, in_one = {"w": torch.ones(2)}, {"w": torch.ones(2) * (1 + error)}
    monkeypatch.setattr(joint, "_on_one_rank", lambda *_: ({}, 2))
    monkeypatch.setattr(joint, "_gradients", lambda *_: in_one)
    found = joint._with_one(None, joint.Joint({}, in_parts, "fp64", lambda _: None))
    assert found.in_one is (in_parts if once else in_one)


def test_where_a_part_is_too_large_for_one_rank_none_goes_on(monkeypatch):
    monkeypatch.setattr(agreement, "any_rank", lambda _: True)
    found = parallel._in_one(None, None, {}, joint.Joint({}, {}, "fp64", lambda _: None, in_one={}))
    assert found == {"one_part_too_large": True}
