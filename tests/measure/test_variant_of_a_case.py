"""What is measured of a variant: its base beside it, in time, in errors and in accuracy."""

import pytest
import torch
from torch import nn

from mpcore.gate import checks
from mpcore.measure import Bench
from mpcore.measure.requirements import must_beat, variant_gradient_limit
from mpcore.precision import Variant, precisions
from mpcore.records import Case, Result
from mpcore.report.rows import rows
from mpcore.workloads import workloads

CASE = Case(workload="dots-of-variants", precision="bf16-amp-other", size="tiny")


class Other(nn.Linear):
    """gain: by which its gradient is too large in 16 bits."""

    gain = 0.0

    def forward(self, x):
        y = super().forward(x)
        return y + self.gain * (y - y.detach()) if y.dtype == torch.bfloat16 else y


@pytest.fixture
def bench(dots, monkeypatch, cpu):
    for registry in (precisions, workloads):
        monkeypatch.setattr(registry, "_classes", dict(registry._classes))

    @workloads.register
    class OfVariants(type(dots)):
        name = "dots-of-variants"
        recipes = {size: type(dots).recipes["tiny"] for size in ("tiny", "full")}
        tolerances = {"tiny": 5.0, "full": 5.0}

    @precisions.register
    class OtherLayer(Variant):
        name = "bf16-amp-other"
        base = "bf16-amp"

        def apply(self, model):
            model[0].__class__ = Other

    return Bench(cpu, seeds=[0])


def test_its_errors_are_held_to_those_of_its_base(bench):
    variant, base = bench.numerics(CASE), bench.numerics(CASE.in_precision("bf16-amp"))
    assert variant.requirements.base == "bf16-amp"
    assert [t.base_error for t in variant.tensors] == [t.gradient_error for t in base.tensors]
    assert all(t.gradient_limit < of_base.gradient_limit for t, of_base in zip(variant.tensors, base.tensors, strict=True))
    assert all(check.passed for check in checks(variant))


def test_a_kernel_that_is_wrong_is_named_with_what_its_base_reaches(bench, monkeypatch):
    monkeypatch.setattr(Other, "gain", 0.03)
    failed = {check.metric: check.sentence for check in checks(bench.numerics(CASE)) if not check.passed}
    assert set(failed) == {"worst tensor's gradient"}
    assert "the gradient of 0." in failed["worst tensor's gradient"]
    assert "In bf16-amp, its base, it is" in failed["worst tensor's gradient"]


def test_it_takes_turns_with_its_base(bench):
    speed = bench.speed(CASE)
    base = speed.references["bf16-amp"]
    assert base.rounds is not None, "in turns"
    [row] = rows([Result(record=speed)])
    assert row["over_base"] == speed.speedup("bf16-amp")
    assert row["over_fp32"] == speed.speedup("fp32")


def test_its_accuracy_is_that_of_its_base(bench):
    quality = bench.accuracy(CASE)
    assert quality.reference.precision == "bf16-amp"
    [row] = rows([Result(record=quality)])
    assert row["points"] is None
    assert row["points_over_base"] == quality.points


@pytest.mark.parametrize(
    ("size", "device", "names"), [("full", "cuda", ("bf16-amp",)), ("tiny", "cuda", ()), ("full", "cpu", ())]
)
def test_it_must_beat_its_base_on_a_gpu(bench, size, device, names):
    case = CASE.model_copy(update={"size": size})
    workload = bench.setups.workload(CASE)
    assert must_beat(case, precisions[CASE.precision], workload, torch.device(device)) == names


def test_what_its_base_gets_right_by_chance_is_not_asked_of_it():
    assert variant_gradient_limit(0.001, 0.01, 2.0) == 0.02
    assert variant_gradient_limit(0.03, 0.01, 2.0) == 0.06
    assert variant_gradient_limit(0.8, 0.01, 2.0) == 1.0
