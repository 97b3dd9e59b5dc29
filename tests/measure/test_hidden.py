"""A gradient that a weight of zero hides at first is judged, too."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mpcore.gate import checks
from mpcore.measure import Bench
from mpcore.measure.hidden import without_zeros
from mpcore.measure.numerics import measure_numerics
from mpcore.records import Case
from mpcore.workloads import workloads

HALVES = (torch.float16, torch.bfloat16)
CPU = torch.device("cpu")


class Adapted(nn.Linear):
    """As LoRA has it: the second factor of what is added starts at zero, and the first has no gradient then. share: of its
    gradient that is left in 16 bits."""

    share = 1.0

    def __init__(self):
        super().__init__(16, 2)
        self.first, self.second = nn.Linear(16, 4, bias=False), nn.Linear(4, 2, bias=False)
        nn.init.zeros_(self.second.weight)

    def forward(self, x):
        low = self.first(x)
        share = self.share if low.dtype in HALVES else 1.0
        return super().forward(x) + self.second(share * low + (1 - share) * low.detach())


@pytest.fixture
def adapted(dots, monkeypatch):
    """The name of a workload whose model it is."""
    kind = type("AdaptedDots", (type(dots),), {"name": "adapted", "build_model": lambda self: Adapted()})
    monkeypatch.setattr(workloads, "_classes", {"adapted": kind})
    return "adapted"


def failed(numerics):
    return {check.metric: check.sentence for check in checks(numerics) if check.status == "failed"}


@pytest.mark.parametrize("mode", ["bf16-amp", "fp16-manual", "bf16-manual"])
@pytest.mark.parametrize("share", [0.5, 0.0])
def test_a_fault_in_it_is_found_and_named(adapted, monkeypatch, mode, share):
    case, bench = Case(workload=adapted, precision=mode, size="tiny"), Bench(CPU)
    right = bench.numerics(case)
    assert failed(right) == {}
    assert right.remark.startswith("weights that are all zero at first hide the gradients of first.weight: ")
    monkeypatch.setattr(Adapted, "share", share)
    assert f"the gradient of first.weight (Linear) in {mode} is" in failed(bench.numerics(case))["worst tensor's gradient"]


def test_a_sentence_says_whose_gradient_it_is(adapted, monkeypatch):
    case, bench = Case(workload=adapted, precision="bf16-amp", size="tiny"), Bench(CPU)
    bench.numerics(case)
    monkeypatch.setattr(Adapted, "share", 0.0)
    numerics = bench.numerics(case)
    assert {t.name for t in numerics.tensors if t.hidden} == {"first.weight"}
    said = failed(numerics)["worst tensor's gradient"]
    assert "Zeros hide it at first, so that small random numbers are in their place. All of it is missing" in said


def out_of_memory(*_, **__):
    raise torch.cuda.OutOfMemoryError("CUDA out of memory")


@pytest.mark.parametrize("where", ["yardstick", "measurement"])
def test_what_was_found_is_not_lost_where_the_rest_cannot_be_had(adapted, monkeypatch, where):
    case, bench = Case(workload=adapted, precision="bf16-amp", size="tiny"), Bench(CPU)
    plain = measure_numerics
    if where == "yardstick":
        monkeypatch.setattr("mpcore.measure.hidden.without_zeros", out_of_memory)
    else:
        calls = iter([plain, out_of_memory])
        monkeypatch.setattr("mpcore.measure.yardsticks.measure_numerics", lambda *given: next(calls)(*given))
    found = bench.numerics(case)
    assert failed(found) == {}
    assert found.remark == "the gradients of first.weight are nothing at first, and are not judged (CUDA out of memory)"


def test_all_else_is_as_from_the_weights_that_the_model_has(adapted, monkeypatch):
    case = Case(workload=adapted, precision="bf16-amp", size="tiny")
    found = Bench(CPU).numerics(case)
    monkeypatch.setattr("mpcore.measure.yardsticks.opened", lambda *_: None)
    plain = Bench(CPU).numerics(case)
    same = {"tensors": None, "remark": None, "seconds": 0.0}
    assert found.model_copy(update=same) == plain.model_copy(update=same)
    assert [t for t in found.tensors if t.name != "first.weight"] == [t for t in plain.tensors if t.name != "first.weight"]
    assert {t.name for t in plain.tensors if t.gradient_limit is None} == {"first.weight"}


def test_how_many_faults_are_found_is_asked_of_gradients_that_are_there(adapted):
    proof = Bench(CPU).found_gradients(Case(workload=adapted, precision="bf16-amp", size="tiny"))
    assert proof.found["times 0.5"] == proof.tensors == 3


def test_what_zeros_do_not_hide_is_as_it_was(dots, monkeypatch):
    """Nothing comes to a layer behind a ReLU that is never above 0."""

    class Dead(nn.Module):
        def __init__(self):
            super().__init__()
            self.dead, self.head, self.zero = nn.Linear(16, 16), nn.Linear(16, 2), nn.Parameter(torch.zeros(2))

        def forward(self, x):
            return self.head(x + F.relu(self.dead(x) - 100)) + self.zero

    kind = type("DeadDots", (type(dots),), {"name": "dead", "build_model": lambda self: Dead()})
    monkeypatch.setattr(workloads, "_classes", {"dead": kind})
    numerics = Bench(CPU).numerics(Case(workload="dead", precision="bf16-amp", size="tiny"))
    assert numerics.remark is None
    assert failed(numerics) == {}


def test_a_model_without_zeros_is_the_same_each_time_and_build_model_is_put_back(dots):
    dots.build_model = build = lambda: Adapted()
    torch.manual_seed(0)
    with without_zeros(dots):
        first, again = dots.build_model(), dots.build_model()
    assert dots.build_model is build
    assert first.second.weight.all()
    assert torch.equal(first.second.weight, again.second.weight)
    assert not torch.equal(first.first.weight, again.first.weight)
