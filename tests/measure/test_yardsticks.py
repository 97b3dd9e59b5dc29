"""What the errors of a session are measured against takes memory only while errors are measured, and on the host where a GPU
has no room for it."""

import pytest
import torch

from mpcore.measure import Bench, yardsticks
from mpcore.measure.numerics import _rounding, _with_all_updates
from mpcore.measure.requirements import requirements_of
from mpcore.measure.setup import Setup
from mpcore.measure.yardstick import Yardstick
from mpcore.precision.pure import FP64
from mpcore.records import Case
from mpcore.training.step import TrainStep

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
CASE = Case(workload="resnet18-mnist", precision="bf16-amp", size="tiny")
FIGURES = {"loss_error", "gradient_error", "update_error", "flushed_share", "tensors"}


@pytest.mark.cuda
@needs_gpu
def test_errors_are_the_same_where_what_is_compared_is_kept_on_the_host():
    case = CASE.model_copy(update={"execution": "graph"})
    there, here = (Bench(torch.device("cuda", 0)) for _ in range(2))
    here._yardsticks._on_host.add(here._yardsticks._key(case))
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
    """The next may need less."""
    tried = []

    def short(setup, batch, yardstick, base=None):
        tried.append(yardstick.kept_on)
        raise without_memory

    monkeypatch.setattr(yardsticks, "HOST", torch.device("cpu", 0))
    monkeypatch.setattr(yardsticks, "measure_numerics", short)
    bench = Bench(cpu)
    for case in (CASE, CASE.in_precision("fp16-amp")):
        with pytest.raises(type(without_memory)):
            bench.numerics(case)
    assert tried == 2 * [cpu, yardsticks.HOST]


def test_a_proof_finds_room_on_the_host_too(monkeypatch, cpu, without_memory):
    prove, kept_on = yardsticks.found_gradients, []

    def short(setup, numerics, batch, other, yardstick):
        kept_on.append(yardstick.kept_on)
        if len(kept_on) == 1:
            raise without_memory
        return prove(setup, numerics, batch, other, yardstick)

    monkeypatch.setattr(yardsticks, "HOST", torch.device("cpu", 0))
    monkeypatch.setattr(yardsticks, "found_gradients", short)
    assert Bench(cpu).found_gradients(CASE).tensors > 10
    assert kept_on == [cpu, yardsticks.HOST]


@pytest.mark.parametrize("part", ["rounding_errors", "rounding_of_updates"])
def test_memory_that_ends_in_rounded_runs_is_looked_for_on_the_host(monkeypatch, dots, cpu, without_memory, part):
    """Limits would be narrower than on a larger GPU."""
    meta, batch = torch.device("meta"), dots.split("train", cpu).rows(slice(32))
    yardstick = Yardstick(TrainStep(dots, FP64(), cpu, dropout=False), batch)
    yardstick.kept_on = meta
    case = Case(workload="dots", precision="bf16-manual", size="tiny")
    setup = Setup(case, dots, cpu, requirements_of(case, dots, cpu))

    def short(*_):
        raise without_memory

    monkeypatch.setattr(yardstick, part, short)
    ask = (lambda: _rounding(setup, yardstick)) if part == "rounding_errors" else (
        lambda: _with_all_updates(None, [], yardstick, 2.0**-8)
    )  # fmt: skip
    with pytest.raises(type(without_memory)):
        ask()
    yardstick.failure = "no kernel for it"
    with pytest.raises(type(without_memory)):
        ask()
    yardstick.kept_on = cpu
    assert ask()[-1]


OTHERS = {
    "speed": lambda bench: bench.speed(CASE),
    "speed_alone": lambda bench: bench.speed_alone(CASE),
    "work": lambda bench: bench.work(CASE),
    "time": lambda bench: bench.time(CASE),
    "accuracy": lambda bench: bench.accuracy(CASE),
    "planted_accuracy": lambda bench: bench.planted_accuracy(CASE, lambda step: None, None),
    "race": lambda bench: bench.race(CASE, ["fp32"], ["plain"], at_least=0.0),
}


@pytest.mark.parametrize("measure", OTHERS)
def test_it_is_given_up_before_anything_else_is_measured(cpu, measure):
    bench = Bench(cpu, seeds=(0,))
    bench.numerics(CASE)
    assert bench._yardsticks._kept is not None
    OTHERS[measure](bench)
    assert bench._yardsticks._kept is None


def test_what_is_known_already_takes_no_room(cpu):
    bench = Bench(cpu)
    bench.speed(CASE)
    bench.numerics(CASE)
    bench.speed(CASE)
    bench.work(CASE)
    assert bench._yardsticks._kept is not None


@pytest.mark.parametrize(
    ("gb", "fast", "rows"), [(16, True, 4), (24, True, 16), (141, True, 32), (16, False, 4), (8, False, 2)]
)
def test_fewer_samples_are_compared_where_memory_is_short(monkeypatch, cpu, gb, fast, rows):
    monkeypatch.setattr(yardsticks, "memory_class", lambda device: gb)
    monkeypatch.setattr(yardsticks, "fast_in_fp64", lambda device: fast)
    case = Case(workload="bert-imdb", precision="bf16-amp", execution="graph", size="fit", batch_size=32)
    assert Bench(cpu)._yardsticks.rows(case) == rows
    assert Bench(cpu)._yardsticks.rows(case.model_copy(update={"size": "full"})) == (32 if fast else 8)


@pytest.mark.parametrize(
    ("workload", "gb", "on_host"), [("vit-l-cifar10", 24, True), ("vit-l-cifar10", 80, False), ("bert-imdb", 16, False)]
)
def test_what_is_compared_begins_on_the_host_where_a_card_that_was_fitted_has_no_room(monkeypatch, cpu, workload, gb, on_host):
    monkeypatch.setattr(yardsticks, "memory_class", lambda device: gb)
    found = Bench(cpu)._yardsticks
    case = Case(workload=workload, precision="fp32", execution="eager", size="fit", batch_size=8)
    assert found._with_room(case, lambda case: found._key(case) in found._on_host) == on_host
