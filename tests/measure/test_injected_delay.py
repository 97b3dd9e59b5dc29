"""A planted slowdown is as large as it was asked for."""

import time

import pytest
import torch

from mpcore.device.nvml import NvmlSampler
from mpcore.measure import injected_delay
from mpcore.measure.injected_delay import DelayedStep, wait_of
from mpcore.measure.timing import TimedStep, block_seconds, interleave
from mpcore.training.base import Step

WAIT = 200e-6


class Plain(Step):
    """That a wait is planted after."""

    def __init__(self, device):
        self.label, self.device = "plain", device
        self.rates = []

    @property
    def captured(self):
        return True

    def set_rate(self, share):
        self.rates.append(share)

    def __call__(self, batch):
        return batch["x"]


class Product(Plain):
    def __call__(self, batch):
        return batch["x"] @ batch["x"]


def test_a_wait_of_a_cpu_takes_its_time():
    wait = wait_of(WAIT, torch.device("cpu"))
    start = time.perf_counter()
    wait()
    assert time.perf_counter() - start >= WAIT


def test_it_is_the_step_with_a_wait_after_it():
    step, waits = Plain(torch.device("cpu")), []
    handicapped = DelayedStep(step, lambda: waits.append(1))
    handicapped.set_rate(0.5)
    x = torch.ones(1)
    assert handicapped({"x": x}) is x
    assert (waits, step.rates) == ([1], [0.5])
    assert (handicapped.device, handicapped.captured) == (step.device, True)


def test_a_wait_is_fitted_to_the_clock_that_a_gpu_reaches(monkeypatch):
    launch, hertz, rounds = 4e-6, [3e8, 3e8, 1e9, 2e9, 2e9], iter(range(10))
    cycles = []
    monkeypatch.setattr(injected_delay, "_sleep_seconds", lambda count, _: launch + count / hertz[next(rounds) // 2])
    monkeypatch.setattr(torch.cuda, "_sleep", cycles.append)
    wait_of(20e-6, torch.device("cuda"))()
    assert cycles == [pytest.approx(16e-6 * 2e9, rel=1e-3)]


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
class TestOnAGpu:
    device = torch.device("cuda")

    @pytest.mark.parametrize("seconds", [20e-6, 200e-6, 5e-3])
    def test_a_wait_takes_as_long_as_it_was_asked_for_with_its_launch(self, seconds):
        wait = wait_of(seconds, self.device)
        found = min(block_seconds(lambda _: wait(), {}, 100, self.device) / 100 for _ in range(5))
        assert found == pytest.approx(seconds, rel=0.05)

    def test_a_step_gets_longer_by_its_share(self):
        x = torch.randn(2048, 2048, device=self.device)
        step = Product(self.device)
        plain = TimedStep(step, [{"x": x}])
        interleave([plain], 0.001, NvmlSampler(self.device))
        slower = TimedStep(DelayedStep(step, wait_of(0.1 * plain.blocks.step_seconds, self.device)), [{"x": x}])
        interleave([plain, slower], 0.001, NvmlSampler(self.device))
        assert slower.blocks.step_seconds / plain.blocks.step_seconds == pytest.approx(1.1, abs=0.02)
