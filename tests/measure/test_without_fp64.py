"""A model that FP64 cannot run is held against FP32, with limits that are wider by FP32's own, and the record says so."""

import re

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mpcore.device.occupancy import Occupancy
from mpcore.gate import checks
from mpcore.measure import Bench
from mpcore.measure.requirements import numerics_limits
from mpcore.precision import Inapplicable, precisions
from mpcore.precision.pure import FP64
from mpcore.records import Case
from mpcore.workloads import workloads

CASE = Case(workload="dots-without-fp64", precision="bf16-amp", size="tiny")


class Kernel(nn.Linear):
    """gain: by which its gradient is too large in 16 bits."""

    gain = 0.0

    def forward(self, x):
        y = super().forward(x)
        if y.dtype == torch.float64:
            raise RuntimeError("kernel: expected fp32, fp16 or bf16")
        return F.gelu(y + self.gain * (y - y.detach()) if y.dtype == torch.bfloat16 else y)


@pytest.fixture
def bench(dots, monkeypatch, cpu):
    monkeypatch.setattr(workloads, "_classes", dict(workloads._classes))

    @workloads.register
    class WithoutFP64(type(dots)):
        name = "dots-without-fp64"
        recipes = {size: type(dots).recipes["tiny"] for size in ("tiny", "full")}
        tolerances = {"tiny": 5.0, "full": 5.0}

        def build_model(self):
            return nn.Sequential(Kernel(16, 16), nn.Linear(16, 2))

    return Bench(cpu)


def test_errors_are_against_fp32_within_both_limits(bench, dots):
    numerics = bench.numerics(CASE)
    assert numerics.reference == "fp32"
    assert {tensor.name for tensor in numerics.tensors} == {"0.weight", "0.bias", "1.weight", "1.bias"}
    assert max(tensor.gradient_share for tensor in numerics.tensors) < 1
    assert "FP64, the yardstick, cannot run it" in numerics.remark
    assert "loss() failed: kernel: expected fp32, fp16 or bf16 (test_without_fp64.py, line" in numerics.remark
    low, full = (
        numerics_limits(precisions[name].roundoff(), dots.conditioning, masters=True, scales=True)
        for name in ("bf16-amp", "fp32")
    )
    assert numerics.requirements.gradient_error == low.gradient_error + full.gradient_error
    assert 0 < numerics.gradient_error < low.gradient_error
    assert all(check.passed for check in checks(numerics))


def test_an_error_is_found_against_fp32_too(bench, monkeypatch):
    monkeypatch.setattr(Kernel, "gain", 9.0)
    failed = [check.sentence for check in checks(bench.numerics(CASE)) if not check.passed]
    assert any("gradient error of bf16-amp against fp32 is " in sentence for sentence in failed)
    assert any(re.search(r"gradient of 0.\w+ \(Kernel\) in bf16-amp is \S+ off from fp32", sentence) for sentence in failed)


def test_a_fault_of_six_per_cent_is_found_against_fp32_too(bench, monkeypatch):
    monkeypatch.setattr(Kernel, "gain", 0.06)
    (failed,) = [check for check in checks(bench.numerics(CASE)) if not check.passed]
    assert re.search(r"gradient of 0.\w+ \(Kernel\) in bf16-amp is 0.0[56]\d* off from fp32, at most 0.0[23]", failed.sentence)


def test_fp32_has_no_other_yardstick(bench):
    with pytest.raises(Inapplicable, match="dots-without-fp64 has no other yardstick than fp32, for FP64 cannot run it"):
        bench.numerics(CASE.in_precision("fp32"))


def test_a_yardstick_that_needs_more_memory_than_there_is_is_fp32_too(monkeypatch, dots, cpu):
    class WithoutMemory(FP64):
        def __init__(self, **options):
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 9.00 GiB.")

    alone = Occupancy(limit=16 * 2**30, own=8 * 2**30, free=2**30, others=0, processes=())
    monkeypatch.setattr("mpcore.measure.yardsticks.FP64", WithoutMemory)
    monkeypatch.setattr("mpcore.measure.errors.occupancy", lambda device: alone)
    numerics = Bench(cpu).numerics(Case(workload="bert-imdb", precision="bf16-amp", size="tiny"))
    assert numerics.reference == "fp32"
    assert (
        "it needs more memory than there is: 9.00 GiB more were asked for where it held 8.00 GiB of 16.00 GiB"
        in numerics.remark
    )


@pytest.fixture
def full(monkeypatch, without_memory):
    def rounded(*_):
        raise without_memory

    monkeypatch.setattr("mpcore.measure.rounded_runs._rounded", rounded)


def test_without_memory_for_rounded_results_the_case_is_measured_all_the_same(bench, full):
    numerics = bench.numerics(CASE)
    assert numerics.tensors is None
    assert numerics.gradient_error > 0
    said = "bf16-amp: no memory for runs with rounded results: no tensor is judged for itself"
    assert numerics.remark.endswith(said)


def test_where_fp64_had_memory_a_lack_of_it_is_an_error(cpu, full, without_memory):
    with pytest.raises(type(without_memory), match=r"out of memory|ALLOC_FAILED"):
        Bench(cpu).numerics(Case(workload="resnet18-mnist", precision="bf16-amp", size="tiny"))


def test_fp32_by_another_trainer_is_not_judged_by_tensor(bench):
    remark = bench.numerics(CASE.model_copy(update={"precision": "fp32", "trainer": "plain"})).remark
    assert remark.endswith("fp32: no tensor is judged for itself: fp32 has no more digits than it")
