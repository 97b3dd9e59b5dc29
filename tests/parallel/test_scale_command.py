"""How steps scale: what is measured in which order, what happens when the time is up, and the command on two ranks."""

import contextlib
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from started import PLANTED

import mpcore
from mpcore.__main__ import main
from mpcore.device.machine import probe
from mpcore.gate import Judge, Policy
from mpcore.parallel.kept import Kept
from mpcore.parallel.plan import Order, completed, plan
from mpcore.parallel.scale import Scale
from mpcore.records import Blocks, Case, Failure, Selection, Speed, Timing
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
    assert main(["scale", *options, "--json", "nowhere/run.json"]) == 2


def test_under_torchrun_it_measures_on_the_ranks_that_there_are(tmp_path):
    options = ["--mp-load", PLANTED, "--mp-workload", "good", "--mp-device", "cpu", "--mp-strategy", "ddp"]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "mpcore", "scale"]
    environment = os.environ | {"PYTHONPATH": str(Path(mpcore.__file__).parent.parent), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, *options], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    names = [result.record.name for result in load(tmp_path / "scaling.json").results]
    assert names == [f"{kind}:good-fp32-eager-tiny{batch}-ddp2" for kind, batch in SPREAD]
    assert done.stdout.count("Several GPUs: good") == 1


SPREAD = [("speed", ""), ("parallel", ""), ("speed", "-b8")]
