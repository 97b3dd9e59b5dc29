"""Steps that their authors have spread over ranks: built on each, once the process group is there."""

from pathlib import Path

import pytest
import torch
from started import launcher

from mpcore.gate.checks import checks
from mpcore.gate.limits import SLOWER_RANK_TIMES
from mpcore.measure import Bench
from mpcore.parallel.bench import LaunchedBench
from mpcore.precision import Inapplicable
from mpcore.records import Case, Parallel, Selection, Speed
from mpcore.workloads import OwnStep, workloads

SCRIPTS = str(Path(__file__).parent / "scripts.py")
OF_LIBRARIES = str(Path(__file__).parent / "library_steps.py")
LIBRARIES = ("of-lightning", "of-huggingface")
NAMES = ("plain-ddp", "plain-fsdp", "like-titan", "unreduced", "one-batch", "slow-rank", *LIBRARIES)
WEIGHTS = 178


def case(name):
    precision = "bf16-fsdp" if name == "like-titan" else "fp32"
    return Case(workload=name, precision=precision, size="tiny", strategy="own", gpus=2)


@pytest.fixture(scope="module")
def found():
    pytest.importorskip("lightning")
    with launcher(*NAMES, load=(SCRIPTS, OF_LIBRARIES)) as ranks:
        cases = [case(name) for name in NAMES]
        speeds, together = (ranks.measure(cases, kind=kind) for kind in ("speedup", "parallel"))
    return {each.workload: (speeds[each], together[each]) for each in cases}


@pytest.mark.parametrize("name", NAMES)
def test_it_is_timed_on_all_ranks_and_the_slowest_counts(found, name):
    speed, _ = found[name]
    assert isinstance(speed, Speed), speed
    assert [rank.rank for rank in speed.ranks] == [0, 1]
    slowest = [max(times) for times in zip(*(rank.blocks.seconds for rank in speed.ranks), strict=True)]
    assert list(speed.blocks.seconds) == slowest
    assert speed.loss_after < speed.loss_before
    assert speed.units_per_second == pytest.approx(2 * 16 / speed.blocks.step_seconds)
    assert all(time.compute > 0 for time in speed.rank_times)
    assert speed.network["backend"] == "gloo"
    assert bool(speed.collectives) == (name not in ("unreduced", "one-batch"))


def test_its_replicas_are_compared(found):
    record = found["plain-ddp"][1]
    assert isinstance(record, Parallel), record
    assert all(check.passed for check in checks(record))
    assert {each.operation for each in record.collectives} == {"allreduce_"}


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_library_averages_once_a_step(found, name):
    record = found[name][1]
    assert isinstance(record, Parallel), record
    assert [check.sentence for check in checks(record) if not check.passed] == []
    averaged = [(each.dtype, each.elements) for each in record.collectives if each.operation == "allreduce_"]
    assert ("float32", WEIGHTS) in averaged


@pytest.mark.parametrize("name", ["plain-fsdp", "like-titan"])
def test_its_shards_are_those_of_a_second_training(found, name):
    record = found[name][1]
    assert isinstance(record, Parallel), record
    assert record.sharded
    assert all(check.passed for check in checks(record))
    assert {"_allgather_base_", "_reduce_scatter_base_"} <= {each.operation for each in record.collectives}


def test_its_numerics_are_skipped_for_the_reason_of_any_own_step(monkeypatch):
    monkeypatch.setitem(workloads._classes, "plain-ddp", type("Plain", (OwnStep,), {"name": "plain-ddp"}))
    cpu = torch.device("cpu")
    with pytest.raises(Inapplicable, match="its step is its own"):
        LaunchedBench(Selection(), cpu, Bench(cpu)).numerics(case("plain-ddp"))


def test_replicas_that_nobody_averages_are_told(found):
    record = found["unreduced"][1]
    assert [check.metric for check in checks(record) if not check.passed] == ["replicas"]
    assert record.collectives == ()


def test_replicas_of_one_batch_prove_nothing(found):
    record = found["one-batch"][1]
    (failed,) = [check for check in checks(record) if not check.passed]
    assert (failed.metric, record.one_batch) == ("replicas", True)
    assert "all ranks are given the same batches" in failed.sentence
    assert not found["plain-ddp"][1].one_batch


def test_a_rank_that_computes_longer_is_named_though_all_take_as_long(found):
    speed = found["slow-rank"][0]
    assert speed.ranks[0].blocks.step_seconds == pytest.approx(speed.ranks[1].blocks.step_seconds, rel=0.3)
    rank, times = speed.slowest_rank
    assert rank == 1
    assert times > SLOWER_RANK_TIMES
    on_a_gpu = speed.model_copy(update={"device": "cuda"})
    (wrong,) = [check for check in checks(on_a_gpu) if check.metric == "slowest rank"]
    assert not wrong.passed
    assert "others wait for rank 1" in wrong.sentence
