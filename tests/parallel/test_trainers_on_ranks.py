"""Steps that libraries and people's own stacks make, on two ranks over gloo: timed, compared and caught as ours are."""

from pathlib import Path

import pytest
from started import PLANTED, case, launcher

from mpcore.gate.checks import checks
from mpcore.records import Failure, Parallel, Speed
from mpcore.trainers import Trainer

STACKS = str(Path(__file__).parent / "spread_stacks.py")
LIBRARIES = {"plain": "torch", "fabric": "lightning", "accelerate": "accelerate", "huggingface": "transformers"}
OWN = ("our-stack", "forgetful", "divides")
WEIGHTS = 178


@pytest.fixture(scope="module")
def found():
    """Speeds and what ranks have in common by trainer, all measured in one launch."""
    made = {name: case("good", strategy="ddp", trainer=name) for name in (*LIBRARIES, *OWN)}
    made["plain-fp16"] = case("good", strategy="ddp", trainer="plain").in_precision("fp16-amp")
    with launcher("good", load=(PLANTED, STACKS), trainers=("all",), precisions=("fp32", "fp16-amp")) as ranks:
        speeds, together = (ranks.measure(list(made.values()), kind=kind) for kind in ("speed", "parallel"))
    return {name: (speeds[each], together[each]) for name, each in made.items()}


def named(library):
    if library in LIBRARIES:
        pytest.importorskip(LIBRARIES[library])
    return library


@pytest.mark.parametrize("name", [*LIBRARIES, "our-stack"])
def test_it_is_timed_and_its_ranks_stay_together(found, name):
    speed, together = found[named(name)]
    assert isinstance(speed, Speed), speed
    assert [rank.rank for rank in speed.ranks] == [0, 1]
    assert speed.ranks[0].weights_hash == speed.ranks[1].weights_hash
    assert speed.units_per_second == pytest.approx(2 * 16 / speed.blocks.step_seconds)
    assert isinstance(together, Parallel), together
    assert [check.sentence for check in checks(together) if not check.passed] == []
    assert "gradient in fp32 in parts" in {check.metric for check in checks(together)}
    assert ("allreduce_", WEIGHTS) in {(each.operation, each.elements) for each in together.collectives}
    assert WEIGHTS <= together.accumulated < 2 * WEIGHTS  # but for lists of buckets: only the last part is averaged


SHARDING = {"plain": "torch", "fabric": "lightning"}
SHARDED_MODES = ("fp32", "bf16-manual", "bf16-true")


@pytest.fixture(scope="module")
def shards():
    """What ranks have in common, and speeds, by trainer and mode, where weights are sharded; and what a training reaches."""
    made = {
        (name, mode): case("good", strategy="fsdp", trainer=name).in_precision(mode)
        for name in ("mpcore", *SHARDING)
        for mode in SHARDED_MODES
    }
    options = {"trainers": ("all",), "precisions": SHARDED_MODES, "seeds": 1}
    with launcher("good", load=(PLANTED, STACKS), **options) as ranks:
        together, speeds = (ranks.measure(list(made.values()), kind=kind) for kind in ("parallel", "speed"))
        trained = ranks.measure([made[name, "bf16-manual"] for name in SHARDING], kind="accuracy")
    return {key: (together[each], speeds[each], trained.get(each)) for key, each in made.items()}


def gathered_and_averaged(together):
    return {(each.operation, each.dtype) for each in together.collectives}


@pytest.mark.parametrize("mode", SHARDED_MODES)
@pytest.mark.parametrize("name", SHARDING)
def test_weights_are_sharded_by_libraries_too(shards, name, mode):
    pytest.importorskip(SHARDING[name])
    together, speed, trained = shards[name, mode]
    assert isinstance(together, Parallel), together
    assert together.sharded
    assert [check.sentence for check in checks(together) if not check.passed] == []
    assert isinstance(speed, Speed), speed
    ours, _, _ = shards["mpcore", mode]
    assert gathered_and_averaged(together) == gathered_and_averaged(ours)
    assert together.accumulated < 4 * WEIGHTS  # where each part is averaged, 4 times or more
    if trained is not None:
        assert trained.scores.by_seed == pytest.approx(trained.reference.by_seed, abs=0.01)


@pytest.fixture(scope="module")
def by_methods():
    """By trainer, what ranks have in common where the loss calls methods of the model, and what a training reaches."""
    made = {name: case("by-methods", strategy="ddp", trainer=name) for name in (*LIBRARIES, "our-stack", "wraps-the-loss")}
    made |= {f"{name}-bf16": made[name].in_precision("bf16-amp") for name in LIBRARIES}
    options = {"trainers": ("all",), "precisions": ("fp32", "bf16-amp"), "seeds": 1}
    with launcher("by-methods", load=(PLANTED, STACKS), **options) as ranks:
        together = ranks.measure(list(made.values()), kind="parallel")
        trained = ranks.measure([made[name] for name in LIBRARIES], kind="accuracy")
    return {name: (together[each], trained.get(each)) for name, each in made.items()}


@pytest.mark.parametrize("name", [f"{name}{mode}" for name in LIBRARIES for mode in ("", "-bf16")])
def test_a_loss_may_call_methods_of_the_model(by_methods, name):
    pytest.importorskip(LIBRARIES[name.removesuffix("-bf16")])
    together, trained = by_methods[name]
    assert isinstance(together, Parallel), together
    assert [check.sentence for check in checks(together) if not check.passed] == []
    if trained is not None:
        assert trained.scores.by_seed == pytest.approx(trained.reference.by_seed, abs=0.01)


def test_who_wraps_a_model_whose_methods_the_loss_calls_is_told_what_to_wrap(by_methods):
    failure, _ = by_methods["our-stack"]
    assert isinstance(failure, Failure)
    assert failure.sentence.startswith(
        "by-methods by our-stack: its loss uses 'scores' of the model, and DDP averages what goes through forward() alone "
        "(planted.py, line "
    )
    assert failure.sentence.endswith("LossModule(model, functools.partial(workload.loss, model))`, called with the batch")
    told, _ = by_methods["wraps-the-loss"]
    assert isinstance(told, Parallel), told
    assert [check.sentence for check in checks(told) if not check.passed] == []


def test_a_scaler_skips_on_all_ranks_what_is_infinite_on_one(found):
    together = found["plain-fp16"][1]
    assert isinstance(together, Parallel), together
    (skipped,) = [check for check in checks(together) if check.metric == "skipped steps"]
    assert skipped.passed, skipped.sentence


@pytest.mark.parametrize(("name", "metric"), [("forgetful", "replicas"), ("divides", "gradient in fp32 in parts")])
def test_a_stack_that_averages_wrongly_is_caught(found, name, metric):
    together = found[name][1]
    assert isinstance(together, Parallel), together
    assert metric in {check.metric for check in checks(together) if not check.passed}


def test_a_stack_that_is_not_spread_is_a_sentence():
    class OneGpu(Trainer):
        name = "one-gpu"

    class Spread(OneGpu):
        strategies = ("ddp",)

    assert Spread.not_spread("ddp") is None
    assert Spread.not_spread("fsdp") == "one-gpu has no fsdp: expected --mp-strategy ddp"
    expected = "expected strategies = ('ddp',) in its class"
    assert OneGpu.not_spread("ddp") == f"one-gpu does not say how its step is spread over GPUs: {expected}"
