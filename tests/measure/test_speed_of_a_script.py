"""Own steps through the bench: measured, counted, trained and compared, or refused in one sentence."""

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from mpcore.gate.checks import checks
from mpcore.loading import load
from mpcore.measure import Bench, timing
from mpcore.precision import Inapplicable
from mpcore.records import Case
from mpcore.workloads import OwnStep, WorkloadError, workloads

CPU = torch.device("cpu")
SCRIPTS = Path(__file__).parent.parent / "scripts"
LIKE = {
    "nanogpt_like": "nanogpt-like",
    "timm_like": "timm-like",
    "glue_like": "glue-like",
    "lightning_gan": "lightning-gan",
    "torchtitan_like": "torchtitan-like",
}


@pytest.fixture(autouse=True)
def _briefly(monkeypatch):
    """Nothing is concluded from these times, and what is registered is forgotten."""
    monkeypatch.setitem(timing.TIME_LIMIT, "cpu", 0.05)
    monkeypatch.setitem(timing.BLOCK_SECONDS, "cpu", 0.01)
    monkeypatch.setattr(workloads, "_classes", dict(workloads._classes))


@pytest.mark.parametrize(("file", "name"), LIKE.items())
def test_scripts_as_their_projects_have_them_are_measured_counted_and_compared(file, name, monkeypatch):
    pytest.importorskip({"lightning_gan": "lightning", "glue_like": "accelerate"}.get(file, "torch"))
    if name not in workloads.names():
        load(SCRIPTS / f"{file}.py")
    monkeypatch.setattr(workloads[name], "curve_steps", 10)
    bench, case = Bench(CPU, seeds=range(1)), Case(workload=name, precision="bf16-amp", size="tiny")
    bench.check([case])
    speed = bench.speed(case)
    assert {check.status for check in checks(speed)} == {"passed"}
    assert list(speed.references) == ["fp32"]
    assert speed.low_precision_flops_share > 0.5
    assert speed.remark is None
    work = bench.work(case)
    assert work.casts > 0
    assert min(work.parameter_bytes, work.optimiser_bytes, work.saved_bytes) > 0
    assert {"forward", "backward", "update"} == {operation.phase for operation in work.counts if operation.dtype != "-"}
    assert any(operation.module for operation in work.counts)
    quality = bench.accuracy(case)
    assert quality.points == pytest.approx(0.0, abs=20.0)
    assert quality.reference.precision == "fp32"
    with pytest.raises(Inapplicable, match="its step is its own"):
        bench.numerics(case)


class Tiny(OwnStep):
    """Whose precisions have names of its own."""

    name = "tiny-step"
    unit = "rows"
    units_per_batch = 8
    precisions = ("whole", "halved")
    curve_steps = 30

    def build(self, precision, device):
        self.model = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 1)).to(device)
        self.optimiser = torch.optim.Adam(self.model.parameters(), lr=1e-2)

        def step(batch):
            with torch.autocast(device.type, torch.bfloat16, enabled=precision == "halved"):
                loss = (self.model(batch).float() - batch.sum(1, keepdim=True)).square().mean() + self.offset
            loss.backward()
            self.optimiser.step()
            self.optimiser.zero_grad()
            return loss

        return step

    offset = 0.0

    def batches(self, device):
        return torch.randn(5, 8, 4, device=device)

    def optimisers(self):
        return self.optimiser


def registered(**changed):
    return workloads.register(type("Changed", (Tiny,), {"name": "tiny-step", **changed}))


def case_in(precision):
    return Case(workload="tiny-step", precision=precision, size="tiny")


def test_precisions_of_ones_own_are_compared_with_the_first():
    registered()
    bench = Bench(CPU, seeds=range(3))
    speed, quality = bench.speed(case_in("halved")), bench.accuracy(case_in("halved"), 3)
    assert list(speed.references) == ["whole"]
    assert speed.ceiling_flops is None
    assert quality.reference.precision == "whole"
    assert len(quality.trainings) == 9
    assert {check.status for check in checks(quality)} == {"passed"}
    assert (quality.batch_size, quality.unit, quality.trainings[0].steps) == (8, "rows", 30)
    with pytest.raises(Inapplicable, match="its step is its own"):
        bench.numerics(case_in("halved"))


def test_a_script_that_sets_a_seed_of_its_own_is_trained_once():
    class Seeded(Tiny):
        def build(self, precision, device):
            torch.manual_seed(1337)
            return super().build(precision, device)

        def batches(self, device):
            return torch.randn(5, 8, 4, generator=torch.Generator().manual_seed(1))

    workloads.register(type("Again", (Seeded,), {"name": "tiny-step"}))
    quality = Bench(CPU, seeds=range(3)).accuracy(case_in("whole"))
    assert len(quality.trainings) == 1
    assert "too few for a test" in checks(quality)[0].sentence


def test_losses_below_0_have_no_ratio():
    registered(offset=-100.0)
    with pytest.raises(Inapplicable, match=r"its loss is -9.* after 30 steps: losses are compared by their ratio"):
        Bench(CPU, seeds=range(1)).accuracy(case_in("whole"))


def test_a_training_that_comes_to_nothing_is_named():
    registered(offset=math.nan)
    with pytest.raises(RuntimeError, match="diverged at step 1: the loss is nan"):
        Bench(CPU, seeds=range(1)).accuracy(case_in("whole"))


def test_a_step_that_learns_nothing_is_found_out():
    class Idle(Tiny):
        def build(self, precision, device):
            super().build(precision, device)
            return lambda batch: (self.model(batch) - batch.sum(1, keepdim=True)).square().mean()

    workloads.register(type("Idle", (Idle,), {"name": "tiny-step"}))
    assert [check.status for check in checks(Bench(CPU).speed(case_in("whole")))] == ["failed"]
    workloads._classes.pop("tiny-step")
    workloads.register(type("Adversary", (Idle,), {"name": "tiny-step", "must_learn": False}))
    assert [check.status for check in checks(Bench(CPU).speed(case_in("whole")))] == ["passed"]


@pytest.mark.parametrize(("precision", "does"), [("bf16-amp", "float32"), ("fp32", "bfloat16")])
def test_a_name_that_says_what_the_step_does_not_compute_in_is_refused(precision, does):
    """A library may fall back in silence, and a script forget to cast."""
    registered(precisions=(precision,), build=lambda self, _, device: Tiny.build(self, "halved" if "b" in does else "", device))
    with pytest.raises(WorkloadError, match=f"build.'{precision}'. made computes its products in {does}: expected some in"):
        Bench(CPU).work(case_in(precision))


def test_what_is_wrong_is_said_before_anything_is_measured():
    registered(batches=lambda self, device: [])
    Bench(CPU).entry(case_in("whole").model_copy(update={"batch_size": 4}))  # which is skipped
    with pytest.raises(WorkloadError, match="batches"):
        Bench(CPU).check([case_in("whole")])


def test_weights_that_only_an_optimiser_knows_are_weights():
    registered()
    work = Bench(CPU).work(case_in("whole"))
    assert work.parameter_bytes == 4 * (4 * 16 + 16 + 16 + 1)
    assert work.optimiser_bytes > 2 * work.parameter_bytes
    assert work.saved_bytes == 4 * 8 * (4 + 16 + 1)  # the batch, what tanh makes, the difference


def test_what_a_device_cannot_do_stops_nothing():
    def build(self, precision, device):
        raise Inapplicable("not here")

    registered(build=build)
    Bench(CPU).check([case_in("whole")])
    with pytest.raises(Inapplicable, match="not here"):
        Bench(CPU).speed(case_in("whole"))


WRONG = {
    "no name": ({"precisions": ()}, "precisions is ().*: expected names that build"),
    "text": ({"precisions": "fp32"}, "precisions is 'fp32'"),
    "a name with a space": ({"precisions": ("my fp32",)}, "precisions has 'my fp32': expected a name without spaces"),
    "units of nothing": ({"units_per_batch": 0}, "units_per_batch is 0: expected how many rows a step goes through"),
    "an execution": ({"execution": "lazy"}, "execution is 'lazy': expected 'graph' or 'eager'"),
}


@pytest.mark.parametrize(("changed", "sentence"), WRONG.values(), ids=WRONG.keys())
def test_a_mistake_in_the_attributes_is_said_when_it_is_registered(changed, sentence):
    with pytest.raises(ValueError, match=sentence.replace("()", r"\(\)")):
        registered(**changed)
