"""What the errors of a session are measured against takes memory only while errors are measured, and on the host where a GPU
has no room for it."""

import pytest
import torch

from mpcore.measure import Bench, yardsticks
from mpcore.records import Case

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
CASE = Case(workload="resnet18-mnist", precision="bf16-amp", size="tiny")
FIGURES = {"loss_error", "gradient_error", "update_error", "flushed_share", "tensors"}


@pytest.mark.cuda
@needs_gpu
def test_errors_are_the_same_where_what_is_compared_is_kept_on_the_host():
    case = CASE.model_copy(update={"execution": "graph"})
    there, here = (Bench(torch.device("cuda", 0)) for _ in range(2))
    here._yardsticks._on_host.add(case.workload)
    found, same = (bench.numerics(case).model_dump(include=FIGURES) for bench in (there, here))
    assert here._yardsticks._kept.yardstick.observed.gradients.popitem()[1].device.type == "cpu"
    for metric in ("loss_error", "gradient_error", "update_error"):
        assert found[metric] == pytest.approx(same[metric], rel=1e-2, abs=1e-9)
    assert [t["name"] for t in found["tensors"]] == [t["name"] for t in same["tensors"]]


def test_where_memory_ends_what_is_compared_is_kept_on_the_host(monkeypatch, cpu, without_memory):
    expected = Bench(cpu).numerics(CASE).model_dump(include=FIGURES)
    measure, kept_on = yardsticks.measure_numerics, []

    def short(setup, batch, yardstick, base=None):
        kept_on.append(yardstick.kept_on)
        if len(kept_on) == 1:
            raise without_memory
        return measure(setup, batch, yardstick, base)

    monkeypatch.setattr(yardsticks, "HOST", torch.device("cpu", 0))
    monkeypatch.setattr(yardsticks, "measure_numerics", short)
    bench = Bench(cpu)
    assert bench.numerics(CASE).model_dump(include=FIGURES) == expected
    assert kept_on == [cpu, yardsticks.HOST]
    bench.numerics(CASE.in_precision("fp16-amp"))
    assert kept_on[2:] == [yardsticks.HOST]


def test_where_there_is_no_room_on_the_host_either_the_case_fails(monkeypatch, cpu, without_memory):
    def short(*_):
        raise without_memory

    monkeypatch.setattr(yardsticks, "measure_numerics", short)
    with pytest.raises(type(without_memory)):
        Bench(cpu).numerics(CASE)


@pytest.mark.parametrize("measure", ["speed", "work", "time", "accuracy"])
def test_it_is_given_up_before_anything_else_is_measured(cpu, measure):
    bench = Bench(cpu, seeds=(0,))
    bench.numerics(CASE)
    assert bench._yardsticks._kept is not None
    getattr(bench, measure)(CASE)
    assert bench._yardsticks._kept is None


@pytest.mark.parametrize(("gb", "rows"), [(16, 8), (24, 16), (141, 32)])
def test_fewer_samples_are_compared_where_memory_is_short(monkeypatch, cpu, gb, rows):
    monkeypatch.setattr(yardsticks, "memory_class", lambda device: gb)
    monkeypatch.setattr(yardsticks, "fast_in_fp64", lambda device: True)
    case = Case(workload="bert-imdb", precision="bf16-amp", execution="graph", size="fit", batch_size=32)
    assert Bench(cpu)._yardsticks.rows(case) == rows
    assert Bench(cpu)._yardsticks.rows(case.model_copy(update={"size": "full"})) == 32
