"""Two GPUs over NCCL, in five minutes: the step is captured whole on each rank, and a graph trains as Python does. What came of
each case is printed as it comes, with the rank that failed: pytest -s."""

from pathlib import Path
from statistics import fmean

import pytest
import torch
from started import PLANTED, case, launcher
from test_launch import left, soon  # noqa: F401  (a fixture)

from mpcore.gate.checks import checks
from mpcore.records import Case, Failure, Parallel, Quality, Speed

pytestmark = [pytest.mark.cuda, pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two NVIDIA GPUs")]
MODES = {
    "ddp": ("fp32", "tf32", "bf16-amp", "fp16-amp", "bf16-manual", "fp16-manual", "bf16-true"),
    "fsdp": ("fp32", "tf32", "bf16-manual", "fp16-manual", "bf16-true"),
    "ddp-overlap": ("bf16-manual", "fp16-manual"),
    "ddp-16bit": ("bf16-manual", "fp16-manual", "bf16-amp"),
    "fsdp-16bit": ("bf16-manual",),
}
PAIRS = [(strategy, mode) for strategy, modes in MODES.items() for mode in modes]
LARGE = [("ddp", "bf16-amp"), *((strategy, "bf16-manual") for strategy in MODES)]
"""Of which a model with blocks, attention and dropout is measured, too."""


TRAINERS = ("plain", "fabric", "accelerate", "huggingface")
SCRIPTS = str(Path(__file__).parent / "scripts.py")
OWN = {"plain-ddp": "fp32", "plain-fsdp": "fp32", "like-titan": "bf16-fsdp"}
BY_TRAINERS = [("ddp", trainer, mode) for trainer in TRAINERS for mode in ("fp32", "fp16-amp", "bf16-amp")]
BY_TRAINERS += [("fsdp", trainer, mode) for trainer in ("plain", "fabric") for mode in ("fp32", "bf16-manual", "bf16-true")]


def captured(pair, workload="good", execution="graph") -> Case:
    strategy, mode = pair
    return case(workload, strategy=strategy, execution=execution).in_precision(mode)


def measured(ranks, cases, kind):
    found = {}
    for each, record in ranks.measuring(cases, kind=kind):
        print(f"{kind} {each.id}: {record.sentence if isinstance(record, Failure) else 'measured'}", flush=True)
        found[each] = record
    return found


@pytest.fixture(scope="module")
def found():
    """What ranks have in common as graphs and eager, and the speed of graphs, in one launch."""
    together = [captured(pair, "good", how) for how in ("graph", "eager") for pair in PAIRS]
    large = [captured(pair, "bert-s128") for pair in LARGE]
    options = {"load": (PLANTED,), "precisions": ("all",), "device": "cuda"}
    with launcher("good", "bert-s128", seconds=60.0, **options) as ranks:
        return measured(ranks, [*large, *together], "parallel"), measured(ranks, large, "speed")


@pytest.mark.parametrize("how", ["graph", "eager"])
@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_ranks_stay_together_on_gpus(found, pair, how):
    _together(found[0][captured(pair, "good", how)])


@pytest.mark.parametrize("pair", LARGE, ids="-".join)
def test_ranks_of_a_large_model_stay_together(found, pair):
    _together(found[0][captured(pair, "bert-s128")])


def _together(record):
    assert isinstance(record, Parallel), record.sentence
    assert [check.sentence for check in checks(record) if not check.passed] == []


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_a_graph_trains_as_python_does(found, pair):
    graph, eager = (found[0][captured(pair, "good", how)] for how in ("graph", "eager"))
    assert isinstance(graph, Parallel), graph.sentence
    assert isinstance(eager, Parallel), eager.sentence
    assert graph.ranks == eager.ranks


@pytest.mark.parametrize("pair", LARGE, ids="-".join)
def test_the_step_is_captured_and_learns(found, pair):
    speed = found[1][captured(pair, "bert-s128")]
    assert isinstance(speed, Speed), speed.sentence
    assert speed.pool_bytes > 0
    assert speed.loss_after < speed.loss_before
    hashes = {rank.weights_hash for rank in speed.ranks}
    assert len(hashes) == (2 if pair[0].startswith("fsdp") else 1)


@pytest.mark.parametrize("pair", LARGE, ids="-".join)
def test_it_is_known_where_each_rank_is_and_what_ranks_talk_by(found, pair):
    speed = found[1][captured(pair, "bert-s128")]
    assert isinstance(speed, Speed), speed.sentence
    for time in speed.rank_times:
        assert time.compute > 0
        assert time.communication >= time.exposed >= 0
    assert len(speed.rank_times) == 2
    assert speed.bus_bytes_per_second > 0
    assert speed.network["backend"] == "nccl"
    print(f"{speed.case.id}: {speed.rank_times}, {speed.bus_bytes_per_second / 1e9:.1f} GB/s, {speed.network}", flush=True)


@pytest.fixture(scope="module")
def others():
    """Steps of other trainers, a BatchNorm over all ranks, and whole trainings, in one launch."""
    made = {each: case("good", strategy=each[0], trainer=each[1]).in_precision(each[2]) for each in BY_TRAINERS}
    made["syncbn"] = captured(("ddp-syncbn", "fp32"), "normed")
    trained = [captured(pair) for pair in (("ddp", "bf16-manual"), ("ddp", "fp16-amp"), ("fsdp", "bf16-manual"))]
    options = {"precisions": ("all",), "trainers": ("all",), "device": "cuda", "tolerance_points": 5.0}
    with launcher("good", "normed", seconds=60.0, **options) as ranks:
        together = measured(ranks, list(made.values()), "parallel")
        return {key: together[each] for key, each in made.items()}, measured(ranks, trained, "accuracy")


@pytest.mark.parametrize("of", BY_TRAINERS, ids="-".join)
def test_ranks_of_another_trainer_stay_together(others, of):
    _together(others[0][of])


def test_a_batchnorm_over_all_ranks_is_one_over_the_batch_of_all(others):
    _together(others[0]["syncbn"])


def test_a_training_on_two_gpus_reaches_what_one_reaches(others):
    for quality in others[1].values():
        assert isinstance(quality, Quality), quality.sentence
        assert (quality.reference.gpus, quality.scores.gpus) == (1, 2)
        assert [check.sentence for check in checks(quality) if not check.passed] == []
        first, last = (fmean(training.losses[at] for training in quality.trainings) for at in (0, -1))
        assert last < first


def test_a_step_that_is_spread_already_is_captured_too():
    made = [Case(workload=w, precision=p, execution="graph", size="tiny", strategy="own", gpus=2) for w, p in OWN.items()]
    with launcher(*OWN, load=(SCRIPTS,), device="cuda") as ranks:
        speeds, together = (measured(ranks, made, kind) for kind in ("speed", "parallel"))
    for each in made:
        assert isinstance(speeds[each], Speed), speeds[each].sentence
        assert speeds[each].pool_bytes > 0
        _together(together[each])


def test_a_rank_that_stops_while_graphs_are_replayed_is_ended(left):  # noqa: F811
    """No watchdog of torch's sees that."""
    with launcher("stop-in-replay", seconds=30.0, device="cuda") as ranks:
        ((_, failure),) = ranks.measuring([captured(("ddp", "fp32"), "stop-in-replay")], kind="speed")
        assert isinstance(failure, Failure)
        assert failure.sentence.startswith("its ranks took more than 30 s for one response and were ended; rank 0 was in ")
        assert failure.sentence.endswith("; rank 1 did not say where it was")
    assert soon(lambda: not left())
