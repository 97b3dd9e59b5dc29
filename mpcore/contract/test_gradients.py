"""Gradients and updates are those of FP32, as far as round-off goes."""

import pytest
import torch
from torch.nn.modules.batchnorm import _BatchNorm  # private API

from mpcore.contract.harness import Subject, at_the_optimiser, lower_scale
from mpcore.measure.numerics import observe, relative_error
from mpcore.precision import precisions


def test_gradient_and_update_agree_with_fp32(subject: Subject) -> None:
    batch = subject.batch()
    theirs = observe(subject.step(precisions["fp32"]), batch, updates=1)
    ours = observe(subject.step(), batch, updates=1, learning_rate=theirs.learning_rate)
    assert ours.made == theirs.made == 1
    assert abs(ours.loss - theirs.loss) <= 32 * subject.mode.roundoff() * abs(theirs.loss)
    assert relative_error(ours.gradients, theirs.gradients) <= 2 * subject.gradient_error
    assert set(ours.updates) == set(theirs.updates)


def test_gradients_are_clipped_unscaled(subject: Subject) -> None:
    step = subject.step(max_norm=1e-3)
    norms: list[float] = []

    def look(optimiser: torch.optim.Optimizer) -> None:
        scale = getattr(optimiser, "grad_scale", None)
        assert scale is None
        norms.append(float(torch.stack([g.double().norm() for g in step.precision.gradients().values()]).norm()))

    at_the_optimiser(step, look)
    lower_scale(step)
    step(subject.batch())
    assert norms == [pytest.approx(1e-3, rel=0.05)]


def test_accumulated_parts_give_the_gradient_of_the_whole(subject: Subject) -> None:
    whole, parts = subject.step(), subject.step(accumulate=3)
    if any(isinstance(m, _BatchNorm) for m in whole.model.modules()):
        pytest.skip("batch normalisation takes its statistics over a part, so that parts are another computation")
    batch = subject.batch()
    first, second = observe(whole, batch, updates=1), observe(parts, batch, updates=1)
    assert second.loss == pytest.approx(first.loss, rel=32 * subject.mode.roundoff())
    assert relative_error(second.gradients, first.gradients) <= 2 * subject.gradient_error
