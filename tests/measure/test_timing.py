"""Blocks, turns and when they end, on a clock that only the steps move."""

import itertools

import pytest
import torch

from mpcore.measure import timing
from mpcore.measure.timing import ROUNDS, TimedStep, block_seconds, interleave

CPU = torch.device("cpu")
BATCHES = [{"x": torch.zeros(1)}, {"x": torch.ones(1)}]


class Clock:
    """Stands in for the module `time`."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        return self.now


class Step:
    """Takes the next of `seconds` at every call, over and over."""

    def __init__(self, clock, *seconds, captured=False, name="", log=()):
        self.clock, self.seconds = clock, itertools.cycle(seconds)
        self.device, self.captured, self.name, self.log = CPU, captured, name, log if name else []
        self.rates, self.batches, self.put_backs = [], [], 0

    def set_rate(self, share):
        self.rates.append(share)

    def put_back(self):
        self.put_backs += 1

    def __call__(self, batch):
        self.clock.now += next(self.seconds)
        self.batches.append(batch)
        self.log.append(self.name)


class Sampler:
    """Says of each sample in turn whether the GPU is slowed down."""

    def __init__(self, *slowed):
        self.slowed, self.samples = iter(slowed), []

    def clear(self):
        self.samples.clear()

    def sample(self):
        self.samples.append(True)
        return next(self.slowed, False)


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(timing, "time", clock)
    return clock


def test_a_block_is_the_time_of_its_steps(clock):
    assert block_seconds(Step(clock, 0.25), BATCHES[0], 4, CPU) == 1.0


@pytest.mark.parametrize(("steps", "before"), [(1, 1), (2, 1), (5, 3)])
def test_the_middle_of_a_block_comes_after_half_of_its_steps(clock, steps, before):
    step, seen = Step(clock, 1.0), []
    block_seconds(step, BATCHES[0], steps, CPU, lambda: seen.append(len(step.batches)))
    assert seen == [before]


def test_a_block_on_a_cpu_is_a_twentieth_of_a_second_at_learning_rate_zero(clock):
    step = Step(clock, 0.005)
    timed = TimedStep(step, BATCHES)
    interleave([timed], 0.002, Sampler())
    assert timed.blocks.steps == 10
    assert timed.blocks.step_seconds == pytest.approx(0.005)
    assert step.rates == [0.0]


def test_a_step_longer_than_a_block_is_a_block(clock):
    timed = TimedStep(Step(clock, 0.7), BATCHES)
    interleave([timed], 0.002, Sampler())
    assert timed.blocks.steps == 1


def test_steps_are_warmed_up_until_their_time_stands_still(clock):
    """Slow at first, as while cuDNN tries its algorithms: nothing of it is left in the blocks."""
    slow = [0.05 * 0.8**i + 0.002 for i in range(60)]
    step = Step(clock, *slow, *[0.002] * 5000)
    timed = TimedStep(step, BATCHES)
    interleave([timed], 0.002, Sampler())
    assert max(timed.seconds) < 1.03 * min(timed.seconds)  # three warm-up blocks agree within 1 %


def test_turns_go_there_and_back(clock):
    log = []
    timed_steps = [TimedStep(Step(clock, 0.1, name=name, log=log), BATCHES) for name in "ABC"]
    interleave(timed_steps, 0.002, Sampler())
    assert "".join(log[-3 * ROUNDS["cpu"] :]) == "ABCCBAABCCBA"
    assert [len(c.seconds) for c in timed_steps] == [ROUNDS["cpu"]] * 3


def test_all_blocks_of_a_round_are_of_one_batch_and_rounds_take_turns_on_them(clock):
    a, b = (TimedStep(Step(clock, 0.1), BATCHES) for _ in range(2))
    interleave([a, b], 0.002, Sampler())
    timed = [[batch["x"].item() for batch in c.step.batches[-ROUNDS["cpu"] :]] for c in (a, b)]
    assert timed == [[0.0, 1.0, 0.0, 1.0]] * 2


def test_timing_ends_as_soon_as_the_interval_is_narrow(clock):
    timed = TimedStep(Step(clock, 0.1), BATCHES)
    interleave([timed], 0.002, Sampler())
    assert len(timed.seconds) == ROUNDS["cpu"]


def test_timing_goes_on_while_the_interval_is_wide_and_ends_at_the_limit(clock, monkeypatch):
    monkeypatch.setitem(timing.TIME_LIMIT, "cpu", 1.0)  # for more than the least rounds, whatever the steps of a block
    noisy = TimedStep(Step(clock, 0.05, 0.09, 0.06, 0.1, 0.07), BATCHES)
    interleave([noisy], 0.002, Sampler())
    assert len(noisy.seconds) > ROUNDS["cpu"]
    assert 0 <= sum(noisy.seconds) - timing.TIME_LIMIT["cpu"] < 0.2


def test_what_counts_is_the_ratio_where_several_take_turns(clock):
    """Both are slow in the same rounds: the ratio is known at once."""
    pace = [0.05, 0.05, 0.09, 0.09, 0.06, 0.06, 0.1, 0.1]

    class Drifting(Step):
        def __call__(self, batch):
            self.clock.now += pace[int(self.clock.now) % len(pace)]
            self.batches.append(batch)

    a, b = TimedStep(Drifting(clock), BATCHES), TimedStep(Drifting(clock), BATCHES)
    a.warm_up = b.warm_up = lambda: None
    a.steps = b.steps = 1
    interleave([a, b], 0.5, Sampler())
    assert len(a.seconds) == ROUNDS["cpu"]


def test_a_round_in_which_the_gpu_was_slowed_down_is_dropped_and_counted(clock):
    a, b = (TimedStep(Step(clock, 0.1), BATCHES) for _ in range(2))
    assert interleave([a, b], 0.002, Sampler(False, False, True, False)) == 1
    assert len(a.seconds) == len(b.seconds) == ROUNDS["cpu"] - 1


def test_where_all_rounds_were_slow_all_are_kept_and_counted(clock):
    timed = TimedStep(Step(clock, 0.1), BATCHES)
    dropped = interleave([timed], 10.0, Sampler(*[True] * 1000))
    assert dropped == len(timed.seconds) >= ROUNDS["cpu"]


@pytest.mark.parametrize("good", [0, 1, 2])
def test_an_interval_needs_two_rounds_so_that_less_is_not_kept_alone(clock, good):
    timed = TimedStep(Step(clock, 0.1), BATCHES)
    dropped = interleave([timed], 10.0, Sampler(*[False] * good, *[True] * 1000))
    assert len(timed.seconds) == (good if good == 2 else good + dropped)


def test_a_captured_step_is_asked_about_in_the_middle_of_its_block_and_any_other_after(clock):
    for captured in (True, False):
        step = Step(clock, 0.01, captured=captured)
        timed = TimedStep(step, BATCHES, steps=10)
        asked = []

        class Noting(Sampler):
            def sample(self, step=step, asked=asked):
                asked.append(len(step.batches))
                return False

        timed.block(0, Noting())
        assert asked == [5 if captured else 10]
