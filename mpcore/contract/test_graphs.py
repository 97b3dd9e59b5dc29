"""A step never waits for the device, can be captured and compiled, and trains the same then."""

import itertools

import pytest
import torch

from mpcore.contract.harness import HostReads, Subject, equal, settle_scale, snapshot, waiting_is_an_error
from mpcore.errors import cause
from mpcore.execution.graph import WARM_UP
from mpcore.gate.limits import UPDATE_ERROR_CAP
from mpcore.measure.yardstick import relative_error
from mpcore.precision import precisions
from mpcore.training.step import TrainStep

STEPS = 50
LEARNING_RATE = 1e-4


def test_a_step_does_not_wait_for_the_device(subject: Subject) -> None:
    """Where the model's own step in FP32 does not."""
    if not subject.mode.fused and subject.device.type == "cpu":
        pytest.skip("the optimiser that is not fused keeps its step count on the CPU and reads it there")
    if waits := _waits(subject, subject.step(precisions["fp32"], max_norm=1.0)):
        pytest.skip(f"in FP32, too, its step waits for the device: {waits[0]}")
    step = subject.step(max_norm=1.0)
    waits = _waits(subject, step)
    if step.precision.asks_the_host:
        pytest.skip("the optimiser counts on the host, which decides whether it skips a step")
    assert waits == []


def _waits(subject: Subject, step: TrainStep) -> list[str]:
    """What waits for the device in the second step, which on a GPU ends there."""
    batch = subject.batch()
    settle_scale(step, batch)
    step(batch)
    if subject.device.type == "cuda":
        try:
            with waiting_is_an_error():
                step(batch)
        except Exception as error:
            return [cause(error)]
        return []
    with HostReads() as reads:
        step(batch)
    return reads.functions


def test_a_graph_waits_neither_for_the_device_nor_for_the_learning_rate(subject: Subject) -> None:
    step, batch = subject.graph_step(max_norm=1.0), subject.batch()
    settle_scale(step, batch)
    for _ in range(WARM_UP + 1):
        step(batch)
    assert step.captured
    with waiting_is_an_error():
        step.precision.set_learning_rate(0.0)
        step(batch)
    if subject.mode.negative_control:
        return  # whose weights are not finite any more
    settle_scale(step, batch)
    step.set_rate(0.0)
    before = snapshot(step.precision.weights())
    step(batch)
    assert equal(step.precision.weights(), before)
    step.precision.set_learning_rate(1e-3)
    step(batch)
    assert not equal(step.precision.weights(), before)


def test_a_graph_trains_as_eager_steps_do(subject: Subject) -> None:
    if subject.draws:
        pytest.skip("the loss draws random numbers, and a graph draws others than eager steps do")
    _train_alike(subject, subject.graph_step())


def test_a_compiled_step_trains_as_eager_steps_do(subject: Subject, compiling: None) -> None:
    if subject.draws:
        pytest.skip("the loss draws random numbers, and compiled code draws others than eager steps do")
    _train_alike(subject, subject.compiled_step())


def _train_alike(subject: Subject, other: TrainStep) -> None:
    """Fifty steps over different batches: the same scale to the letter, losses and weights as far as round-off goes."""
    eager = subject.step()
    start, curves = snapshot(eager.precision.weights()), []
    for step in (other, eager):
        step.precision.set_learning_rate(LEARNING_RATE)
        order = itertools.islice(itertools.cycle(subject.batches(8)), STEPS)
        curves.append(torch.stack([step(batch).clone() for batch in order]))
    assert other.precision.state() == eager.precision.state()
    moved = [{n: w.detach().double() - start[n].double() for n, w in s.precision.weights().items()} for s in (other, eager)]
    if subject.mode.negative_control:
        return  # what is not finite is equal to nothing
    torch.testing.assert_close(curves[0], curves[1], rtol=32 * subject.mode.roundoff(), atol=32 * subject.mode.roundoff())
    assert relative_error(*moved) <= max(UPDATE_ERROR_CAP, 2 * subject.gradient_error)
