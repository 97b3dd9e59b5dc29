"""How steps scale: what is measured in which order, what happens when the time is up, and the command on two ranks."""

import contextlib
import math
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from started import PLANTED

import mpcore
from mpcore.__main__ import main
from mpcore.device import agreement
from mpcore.device.machine import probe
from mpcore.gate import Judge, Policy
from mpcore.parallel.kept import Kept
from mpcore.parallel.plan import Order, completed, plan
from mpcore.parallel.scale import Scale
from mpcore.parallel.standing import StandingOrders
from mpcore.parallel.worker import device_of_rank
from mpcore.records import Blocks, Case, Failure, Ready, Selection, Speed, Timing
from mpcore.selection import SelectionError
from mpcore.store import load

CPU = torch.device("cpu")
FIELDS = {
    "workload_version": 1,
    "device": "cpu",
    "batch_size": 8,
    "unit": "rows",
    "blocks": Blocks(steps=1, seconds=(1.0, 1.0)),
}
SPEED = {
    **dict.fromkeys(("eager", "peak_allocated_bytes", "peak_reserved_bytes", "loss_scale", "ceiling_flops", "profile", "gpu")),
    **{"references": {}, "loss_before": 1.0, "loss_after": 0.1, "skipped_steps": 0, "flops_per_step": 1},
    **{"low_precision_flops_share": 0.0, "dropped_blocks": 0, "pool_bytes": None},
}


def test_one_gpu_comes_first_then_the_most_which_are_compared_too():
    selection = completed(Selection(workloads=("bert-s128",), gpus=(2, 4), executions=("eager",)), CPU)
    found = [(o.case.gpus, o.case.strategy, o.kind, o.case.batch_size) for o in plan(selection, CPU)]
    assert found[:3] == [(1, "single", "speed", None), (4, "ddp", "speed", None), (4, "fsdp", "speed", None)]
    assert found[3:5] == [(4, "ddp", "parallel", None), (4, "fsdp", "parallel", None)]
    whole = found[5][3] * 4
    assert found[5:] == [
        *((4, strategy, "speed", whole // 4) for strategy in ("ddp", "fsdp")),
        *((2, strategy, "speed", None) for strategy in ("ddp", "fsdp")),
        *((2, strategy, "speed", whole // 2) for strategy in ("ddp", "fsdp")),
    ]


def test_without_options_it_is_the_large_workloads_on_as_many_as_there_are():
    found = completed(Selection(), CPU)
    assert found.workloads == ("bert-s128", "gpt2-text", "vit-l-cifar10", "llama-text")
    assert (found.strategies, found.gpus, found.precisions) == (("ddp", "fsdp"), (1, 2, 4, 8), ("fp32",))


class Ranks:
    """Takes a moment, and answers what it is to."""

    def __init__(self, answers):
        self.answers = answers

    def measure(self, cases, kind="timing", seconds=None):
        time.sleep(0.1)
        (case,) = cases
        answer = self.answers.get((case.workload, kind), kind)
        if isinstance(answer, str):
            answer = Speed(case=case, **FIELDS, **SPEED) if kind == "speed" else Timing(case=case, pool_bytes=None, **FIELDS)
        return {case: answer}


@pytest.fixture
def scale(tmp_path, monkeypatch):
    def scale(names, answers=(), seconds=60.0, launches=0):
        monkeypatch.setattr(Scale, "_launcher", lambda self, gpus: contextlib.nullcontext(Ranks(dict(answers))))
        cases = [Case(workload=name, precision="fp32", size="tiny", strategy="ddp", gpus=2) for name in names]
        path = tmp_path / "run.json"
        kept = Kept([Order(case, "speed") for case in cases], probe(CPU), Judge([], Policy()), "scale", None, path)
        measured = Scale(Selection(), kept, seconds, launches, lambda line: None).measure()
        assert load(path).model_copy(update={"path": ""}) == measured
        return measured

    return scale


def test_what_the_time_was_too_short_for_is_missed(scale):
    run = scale("abcdefgh", seconds=0.35)
    assert 1 <= len(run.results) < 8
    assert run.missed == 8 - len(run.results)


def test_a_failure_fails_its_case_and_what_cannot_run_is_skipped(scale):
    case = Case(workload="a", precision="fp32", size="tiny")
    broken, skipped = Failure(case=case, sentence="broken"), Failure(case=case, sentence="too large", skipped=True)
    run = scale("abc", {("a", "speed"): broken, ("b", "speed"): skipped})
    assert [test.sentence for test in run.failed] == ["broken"]
    assert [test.reason for test in run.skipped] == ["too large"]
    assert ([result.record.case.workload for result in run.results], run.missed) == (["c"], 0)


def test_the_first_case_is_launched_again(scale):
    run = scale("ab", launches=2)
    assert [len(result.record.launches) for result in run.results] == [2, 0]
    assert len(scale("ab", seconds=1.0, launches=math.inf).results[0].record.launches) > 2


@pytest.mark.parametrize(("device", "execution", "ahead"), [("cuda", "graph", 1), ("cuda", "eager", 0), ("cpu", "eager", 0)])
def test_beside_a_graph_the_next_launch_gets_ready_and_all_are_ended(monkeypatch, device, execution, ahead):
    begun, ended = [], []

    class Launched:
        def __init__(self, gpus):
            self.gpus = gpus
            begun.append(gpus)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.close()

        def close(self):
            ended.append(self.gpus)

    monkeypatch.setattr(Scale, "_launcher", lambda self, gpus: Launched(gpus))
    kept = SimpleNamespace(hardware=SimpleNamespace(device=device))
    case = Case(workload="a", precision="fp32", size="tiny", strategy="ddp", gpus=2, execution=execution)
    launches = Scale(Selection(), kept, 60.0, 3, print)._launches(case)
    seen = [(ranks.gpus, len(begun), len(ended)) for ranks in launches]
    assert seen == [(2, 1 + ahead, 0), (2, 2 + ahead, 1), (2, 3, 2)]
    assert len(ended) == len(begun) == 3
    launches = Scale(Selection(), kept, 60.0, math.inf, print)._launches(case)
    next(launches)
    launches.close()
    assert len(ended) == len(begun) == 4 + ahead


def test_the_command_measures_saves_and_shows(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options = ["--mp-load", PLANTED, "--mp-workload", "good", "--mp-gpus", "2", "--mp-device", "cpu", "--launches", "0"]
    assert main(["scale", *options, "--minutes", "2"]) == 0
    saved = load("scaling.json")
    assert [result.record.name for result in saved.results] == [
        "speed:good-fp32-eager-tiny",
        "speed:good-fp32-eager-tiny-ddp2",
        "speed:good-fp32-eager-tiny-fsdp2",
        "parallel:good-fp32-eager-tiny-ddp2",
        "parallel:good-fp32-eager-tiny-fsdp2",
        "speed:good-fp32-eager-tiny-b8-ddp2",
        "speed:good-fp32-eager-tiny-b8-fsdp2",
    ]
    assert saved.missed == 0
    shown = capsys.readouterr().out
    assert "weak %" in shown
    assert "strong %" in shown
    assert main(["scale", *options, "--json", "nowhere/run.json"]) == 4


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def test_ranks_of_two_hosts_write_the_record_of_two_ranks(tmp_path):
    """Two of torchrun's agents on this machine: rank 0 is where it came first."""
    where = ["--nnodes", "2", "--nproc-per-node", "1", "--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{free_port()}"]
    options = ["--mp-load", PLANTED, "--mp-workload", "good", "--mp-device", "cpu", "--mp-strategy", "ddp"]
    command = [sys.executable, "-m", "torch.distributed.run", *where, "-m", "mpcore", "scale", *options]
    environment = os.environ | {"PYTHONPATH": str(Path(mpcore.__file__).parent.parent), "OMP_NUM_THREADS": "1"}
    folders = [tmp_path / name for name in ("one", "other")]
    agents = []
    for folder in folders:
        folder.mkdir()
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        agents.append(subprocess.Popen(command, cwd=folder, env=environment, **pipes))
    said = [agent.communicate(timeout=180) for agent in agents]
    assert [agent.returncode for agent in agents] == [0, 0], said
    (saved,) = (folder / "scaling.json" for folder in folders if (folder / "scaling.json").is_file())
    records = [result.record for result in load(saved).results]
    assert [record.name for record in records] == [f"{kind}:good-fp32-eager-tiny{batch}-ddp2" for kind, batch in SPREAD]
    assert [rank.rank for rank in records[0].ranks] == [0, 1]
    assert records[0].ranks[0].weights_hash == records[0].ranks[1].weights_hash
    assert sum(out.count("Several GPUs: good") for out, _ in said) == 1


SPREAD = [("speed", ""), ("parallel", ""), ("speed", "-b8")]


def test_a_failure_of_all_is_that_of_no_order(tmp_path):
    case = Case(workload="good", precision="fp32", size="tiny", strategy="ddp", gpus=2)
    path, orders = tmp_path / "run.json", [Order(case, "speed")]
    kept = Kept(orders, probe(CPU), Judge([], Policy()), "scale", None, path)
    standing = StandingOrders(Selection(), orders, 60.0, kept, print)
    standing.say(Ready())
    standing.say(Failure(case=None, sentence="no data"))
    assert standing.refused == "no data"
    assert (kept.failed, kept.results) == ([], [])
    standing.say(Failure(case=case, sentence="broken"))
    assert [test.name for test in kept.failed] == [orders[0].name]


def test_a_rank_that_takes_too_long_for_an_order_says_where_it_is_and_ends():
    """Nobody else watches ranks that torchrun has started for us."""
    code = """
import time
from mpcore.parallel import standing
standing.CASE_SECONDS = 0.3
orders = standing.StandingOrders(standing.Selection(), [], 60.0, None, print)
orders.taken("first")
orders.taken("")
orders.done()
time.sleep(0.6)
orders.taken("second")
time.sleep(60)
"""
    environment = os.environ | {"PYTHONPATH": str(Path(mpcore.__file__).parent.parent)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=50)
    assert done.returncode == 1
    assert 'File "<string>", line 11 in <module>' in done.stderr


def test_only_torchrun_starts_ranks(monkeypatch):
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WORLD_SIZE", "8")
    assert agreement.started() == 0
    for name, value in (("RANK", "0"), ("LOCAL_RANK", "0"), ("MASTER_ADDR", "127.0.0.1")):
        monkeypatch.setenv(name, value)
    assert agreement.started() == 8


def test_one_gpu_scales_nothing(capsys):
    assert main(["scale", "--mp-device", "cuda:1"]) == 2
    assert "--mp-device 'cuda:1' is one GPU: expected cuda" in capsys.readouterr().err


def test_a_strategy_needs_no_number_of_gpus(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mpcore.parallel.plan.ON_A_CPU", (1, 2))
    options = ["--mp-load", PLANTED, "--mp-workload", "good", "--mp-strategy", "ddp", "--mp-device", "cpu"]
    assert main(["scale", *options, "--launches", "0"]) == 0
    assert {result.record.case.strategy for result in load("scaling.json").results} == {"single", "ddp"}


def test_a_host_with_fewer_gpus_than_ranks_is_a_sentence(monkeypatch):
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(SelectionError, match="torchrun has started 4 ranks on a host with 2 GPUs"):
        device_of_rank("cuda")
