"""Two GPUs over NCCL: the step is captured whole on each rank, and a graph trains as Python does."""

import pytest
import torch
from started import PLANTED, case, launcher
from test_launch import left, soon  # noqa: F401  (a fixture)

from mpcore.gate.checks import checks
from mpcore.records import Case, Failure, Parallel, Speed

pytestmark = [pytest.mark.cuda, pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two NVIDIA GPUs")]
MODES = {
    "ddp": ("fp32", "tf32", "bf16-amp", "fp16-amp", "bf16-manual", "fp16-manual", "bf16-true"),
    "fsdp": ("fp32", "tf32", "bf16-manual", "fp16-manual", "bf16-true"),
}
PAIRS = [(strategy, mode) for strategy, modes in MODES.items() for mode in modes]


def captured(pair, workload="good", execution="graph") -> Case:
    strategy, mode = pair
    return case(workload, strategy=strategy, execution=execution).in_precision(mode)


@pytest.fixture(scope="module")
def found():
    """What ranks have in common as graphs and eager, and the speed of graphs, in one launch."""
    together = [captured(pair, name, how) for pair in PAIRS for name in ("good", "bert-s128") for how in ("graph", "eager")]
    timed = [captured(pair, "bert-s128") for pair in PAIRS]
    options = {"load": (PLANTED,), "precisions": ("all",), "device": "cuda"}
    with launcher("good", "bert-s128", seconds=120.0, **options) as ranks:
        return ranks.measure(together, kind="parallel"), ranks.measure(timed, kind="speed")


@pytest.mark.parametrize("how", ["graph", "eager"])
@pytest.mark.parametrize("workload", ["good", "bert-s128"])
@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_ranks_stay_together(found, pair, workload, how):
    record = found[0][captured(pair, workload, how)]
    assert isinstance(record, Parallel), record
    assert [check.sentence for check in checks(record) if not check.passed] == []


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_a_graph_trains_as_python_does(found, pair):
    graph, eager = (found[0][captured(pair, "good", how)] for how in ("graph", "eager"))
    assert graph.ranks == eager.ranks


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_the_step_is_captured_and_learns(found, pair):
    speed = found[1][captured(pair, "bert-s128")]
    assert isinstance(speed, Speed), speed
    assert speed.pool_bytes > 0
    assert speed.loss_after < speed.loss_before
    hashes = {rank.weights_hash for rank in speed.ranks}
    assert len(hashes) == (1 if pair[0] == "ddp" else 2)


def test_a_rank_that_stops_while_graphs_are_replayed_is_ended(left):  # noqa: F811
    """No watchdog of torch's sees that."""
    with launcher("stop-in-replay", seconds=30.0, device="cuda") as ranks:
        ((_, failure),) = ranks.measuring([captured(("ddp", "fp32"), "stop-in-replay")], kind="speed")
        assert isinstance(failure, Failure)
        assert failure.sentence.startswith("its ranks took more than 30 s for one response and were ended; rank 0 was in ")
        assert failure.sentence.endswith("; rank 1 did not say where it was")
    assert soon(lambda: not left())
