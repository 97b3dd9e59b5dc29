"""Faults planted in the core, each against the accepted measurement of the same case: the gate fails, and its sentence points
the right way."""

import pytest
import torch
from torch.nn import functional as F

from mpcore.execution.graph import CaptureError
from mpcore.gate import SHIPPED, BaselineMatch, regressions
from mpcore.gate.margins import Margins
from mpcore.measure import Bench
from mpcore.precision.autocast import Autocast, FP16Autocast
from mpcore.precision.base import Precision
from mpcore.precision.master import MasterWeights
from mpcore.precision.native import TF32
from mpcore.records import Case
from mpcore.workloads.bert_imdb import BertImdb

CALIBRATION = SHIPPED["nvidia-h200"]
cuda = pytest.mark.cuda
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
DEVICES = [
    pytest.param("cpu", id="cpu"),
    pytest.param("cuda", marks=[pytest.mark.cuda, needs_gpu], id="cuda"),
]


class Accepted:
    """A device's bench, and what was measured there before any fault was planted."""

    def __init__(self, device):
        self.device = device
        self.bench = Bench(torch.device(device), target=0.01)
        self._found = {}

    def case(self, precision):
        execution, size = ("graph", "full") if self.device == "cuda" else ("eager", "tiny")
        return Case(workload="bert-imdb", precision=precision, execution=execution, size=size)

    def before(self, kind, precision):
        key = kind, precision
        if key not in self._found:
            self._found[key] = self.measured(kind, precision)
        return self._found[key]

    def measured(self, kind, precision):
        return {"speed": self.bench.speed_alone, "numerics": self.bench.numerics}[kind](self.case(precision))

    def failures(self, kind, precision):
        """Sentences by metric. To be called once the fault is planted, and `before` was called without."""
        accepted = self._found[kind, precision]
        match = BaselineMatch(self.measured(kind, precision), dict(enumerate([accepted] * 3)))
        return {r.metric: r.sentence for r in regressions(match, Margins(points=1.0), CALIBRATION) if not r.passed}


@pytest.fixture(scope="module")
def accepted():
    benches = {}
    return lambda device: benches.setdefault(device, Accepted(device))


@pytest.fixture
def gpu(accepted):
    return accepted("cuda")


def step_time(gpu, precision, plant):
    """What is said of a step that a fault makes slower."""
    gpu.before("speed", precision)
    plant()
    failures = gpu.failures("speed", precision)
    assert "step time" in failures
    return failures["step time"]


@cuda
@needs_gpu
@pytest.mark.parametrize("precision", ["tf32", "fp16-amp", "bf16-amp", "bf16-manual"])
def test_without_a_fault_nothing_is_worse(gpu, precision):
    gpu.before("speed", precision)
    assert gpu.failures("speed", precision) == {}


@cuda
@needs_gpu
def test_autocast_off(gpu, monkeypatch):
    off = lambda self: torch.autocast(self.device_type, enabled=False)  # noqa: E731
    said = step_time(gpu, "fp16-amp", lambda: monkeypatch.setattr(Autocast, "forward", off))
    assert "32-bit matrix product" in said


@cuda
@needs_gpu
def test_tf32_off_in_the_core(gpu, monkeypatch):
    said = step_time(gpu, "tf32", lambda: monkeypatch.setattr(TF32, "tf32", False))
    assert "matrix product" in said


@cuda
@needs_gpu
def test_a_synchronisation_in_the_step(gpu, monkeypatch):
    """A graph cannot hold it: the case fails, and is told which line waits."""
    loss = BertImdb.loss

    def waiting(self, model, batch):
        found = loss(self, model, batch)
        found.item()
        return found

    monkeypatch.setattr(BertImdb, "loss", waiting)
    with pytest.raises(CaptureError, match=r"test_planted\.py, line \d+: .*item"):
        gpu.measured("speed", "bf16-amp")


@cuda
@needs_gpu
def test_a_python_loop_over_parameters_in_the_optimiser(gpu, monkeypatch):
    build = Precision.build_optimiser

    def looping(self, weights, recipe):
        optimiser = build(self, weights, recipe)
        for group in optimiser.param_groups:
            group["foreach"] = group["fused"] = False
        return optimiser

    said = step_time(gpu, "bf16-amp", lambda: monkeypatch.setattr(Precision, "build_optimiser", looping))
    assert "elementwise" in said
    assert "launches" in said


@cuda
@needs_gpu
def test_attention_in_fp32(gpu, monkeypatch):
    attend = F.scaled_dot_product_attention

    def single(query, key, value, attn_mask=None, **options):
        mask = attn_mask if attn_mask is None or attn_mask.dtype == torch.bool else attn_mask.float()
        with torch.autocast("cuda", enabled=False):
            return attend(query.float(), key.float(), value.float(), attn_mask=mask, **options).to(query.dtype)

    plant = lambda: monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", single)  # noqa: E731
    assert "attention" in step_time(gpu, "bf16-amp", plant)


@cuda
@needs_gpu
def test_doubled_activation_memory(gpu, monkeypatch):
    gpu.before("speed", "bf16-amp")
    loss = BertImdb.loss
    monkeypatch.setattr(BertImdb, "loss", lambda *terms: (loss(*terms) + loss(*terms)) / 2)
    failures = gpu.failures("speed", "bf16-amp")
    assert {"memory", "graph memory"} <= failures.keys()
    assert "GiB" in failures["memory"]


@pytest.mark.parametrize("device", DEVICES)
def test_master_weights_dropped(accepted, monkeypatch, device):
    subject = accepted(device)
    subject.before("numerics", "bf16-manual")
    update = MasterWeights.update

    def without_masters(self):
        update(self)
        with torch.no_grad():
            for group in self.groups:
                torch._foreach_copy_(list(group.masters.values()), list(group.parameters.values()))

    monkeypatch.setattr(MasterWeights, "update", without_masters)
    failures = subject.failures("numerics", "bf16-manual")
    assert set(failures) == {"update error"}


@pytest.mark.parametrize("device", DEVICES)
def test_a_frozen_scale(accepted, monkeypatch, device):
    subject = accepted(device)
    subject.before("numerics", "fp16-amp")
    prepare = FP16Autocast.prepare

    def frozen(self, model, recipe):
        prepare(self, model, recipe)
        self.loss_scale.fill_(1.0)

    monkeypatch.setattr(FP16Autocast, "prepare", frozen)
    assert "flushed share" in subject.failures("numerics", "fp16-amp")
