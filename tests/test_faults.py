"""Somebody else's mistake is caught: each planted fault makes a benchmark or the contract fail."""

import contextlib

import pytest
import torch

from mpcore.contract import test_scaling as scaling
from mpcore.contract import test_settings as settings
from mpcore.contract.harness import Subject
from mpcore.gate import checks
from mpcore.measure import Bench
from mpcore.precision.autocast import Autocast, FP16Autocast
from mpcore.precision.base import Precision
from mpcore.precision.master import BF16MasterWeights, FP16MasterWeights, MasterWeights
from mpcore.precision.scale import LossScale
from mpcore.precision.tf32 import tf32_switches
from mpcore.records import Case


@pytest.fixture(scope="module")
def bench():
    return Bench(torch.device("cpu"))


def failures(bench, precision, workload="bert-imdb"):
    """The metrics that test_numerics finds wrong."""
    record = bench.numerics(Case(workload=workload, precision=precision, size="tiny"))
    return {check.metric for check in checks(record) if not check.passed}


@pytest.mark.parametrize("precision", ["fp16-amp", "bf16-amp", "fp16-manual", "bf16-manual"])
def test_nothing_is_wrong_without_a_fault(bench, precision):
    assert failures(bench, precision) == set()


def test_autocast_turned_off(bench, monkeypatch):
    monkeypatch.setattr(Autocast, "forward", lambda _: contextlib.nullcontext())
    assert "16-bit share" in failures(bench, "fp16-amp")


@pytest.mark.parametrize("mode", [FP16MasterWeights, BF16MasterWeights])
def test_master_weights_dropped(bench, monkeypatch, mode):
    """The optimiser works on the 16-bit weights: the masters take what was rounded."""
    update = MasterWeights.update

    def without_masters(self):
        update(self)
        with torch.no_grad():
            for group in self.groups:
                torch._foreach_copy_(list(group.masters.values()), list(group.parameters.values()))

    monkeypatch.setattr(MasterWeights, "update", without_masters)
    assert "update error" in failures(bench, mode.name)


@pytest.mark.parametrize("precision", ["fp16-amp", "fp16-manual"])
def test_scaling_without_unscaling(bench, monkeypatch, precision):
    """AdamW hardly notices: the size of a gradient cancels."""

    def step_without_unscaling(self):
        self.optimiser.step()
        self.scaler.update() if isinstance(self.scaler, LossScale) else None
        self.optimiser.zero_grad()

    monkeypatch.setattr(FP16Autocast, "update", step_without_unscaling)
    monkeypatch.setattr(LossScale, "unscale_", lambda _self, _gradients: None)
    assert "gradient error" in failures(bench, precision)


@pytest.mark.parametrize("precision", ["fp16-amp", "fp16-manual"])
def test_a_scale_of_one_flushes_gradients(bench, monkeypatch, precision):
    """Gradients as small as those of a converged model: what no scale lifts is lost."""
    prepare = {cls: cls.prepare for cls in (FP16Autocast, FP16MasterWeights)}

    def frozen(self, model, recipe):
        prepare[type(self)](self, model, recipe)
        self.loss_scale.fill_(1.0)

    for cls in prepare:
        monkeypatch.setattr(cls, "prepare", frozen)
    assert "flushed share" in failures(bench, precision)


@pytest.mark.parametrize("precision", ["fp16-amp", "fp16-manual"])
def test_a_scale_that_is_never_updated(bench, monkeypatch, precision):
    monkeypatch.setattr(LossScale, "update", lambda self: self.skipped.add_(self.found_inf))
    monkeypatch.setattr(torch.amp.GradScaler, "update", lambda self: self._per_optimizer_states.clear())
    with pytest.raises(AssertionError):
        scaling.test_an_infinite_gradient_skips_the_step_and_lowers_the_scale(Subject("bert-imdb", precision, bench))


def test_tf32_left_on_in_fp32(bench, monkeypatch):
    """The switch is not turned off: seen by the contract on any machine, by the errors against FP64 on a GPU."""
    monkeypatch.setattr(Precision, "settings", lambda _: contextlib.nullcontext())
    with pytest.raises(AssertionError):
        settings.test_tf32_is_on_only_where_the_mode_says_so_and_put_back(Subject("bert-imdb", "fp32", bench))


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
@pytest.mark.parametrize("workload", ["bert-imdb", "resnet18-mnist"])
def test_tf32_left_on_in_fp32_shows_in_the_errors(monkeypatch, workload):
    bench = Bench(torch.device("cuda"))
    assert failures(bench, "fp32", workload) == set()
    monkeypatch.setattr(Precision, "settings", lambda _: tf32_switches(True))
    assert "gradient error" in failures(bench, "fp32", workload)
