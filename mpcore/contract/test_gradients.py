"""Gradients and updates are those of FP32, as far as round-off goes."""

import math

import pytest
import torch

from mpcore.contract.harness import Subject, at_the_optimiser, settle_scale
from mpcore.measure.observation import Observation, observe
from mpcore.measure.tensors import with_a_gradient
from mpcore.measure.yardstick import relative_error, tensor_errors
from mpcore.precision import precisions


def test_gradient_and_update_agree_with_fp32(subject: Subject) -> None:
    batch = subject.batch()
    theirs = observe(subject.step(precisions["fp32"]), batch, updates=1)
    ours = observe(subject.step(), batch, updates=1, learning_rate=theirs.learning_rate)
    assert theirs.made == 1
    if not (ours.made and math.isfinite(ours.loss)):
        pytest.fail(subject.not_finite(theirs.learning_rate))
    assert abs(ours.loss - theirs.loss) <= 32 * subject.mode.roundoff() * abs(theirs.loss)
    assert set(ours.updates) == set(theirs.updates)
    norms = {name: float(gradient.norm()) for name, gradient in theirs.gradients.items()}
    reached = {name for name in with_a_gradient(norms, subject.mode.roundoff()) if norms[name] and math.isfinite(norms[name])}
    if not reached:
        pytest.fail("in FP32 no weight has a finite gradient other than 0")
    errors = tensor_errors(ours.gradients, theirs.gradients)
    worst = max(reached, key=errors.__getitem__)
    said = f"the gradient in {subject.mode.name} is off from FP32, most of all of {worst}, by {errors[worst]:.3g} of it"
    error = relative_error(ours.gradients, theirs.gradients)
    assert error <= 2 * subject.gradient_error or error <= subject.rounding_error, said
    if not subject.mode.negative_control:
        assert {name for name in reached if not ours.gradients[name].any()} == set(), "no gradient comes to these weights"


def test_gradients_are_clipped_unscaled(subject: Subject) -> None:
    step, batch = subject.step(max_norm=1e-3), subject.batch()
    norms: list[float] = []

    def look(optimiser: torch.optim.Optimizer) -> None:
        scale = getattr(optimiser, "grad_scale", None)
        assert scale is None
        norms.append(float(torch.stack([g.abs().double().norm() for g in step.precision.gradients().values()]).norm()))

    settle_scale(step, batch)
    at_the_optimiser(step, look)
    step(batch)
    if subject.mode.negative_control and not all(map(math.isfinite, norms)):
        pytest.skip("the negative control's gradients are not finite here")
    assert norms == [pytest.approx(1e-3, rel=0.05)]


def test_accumulated_parts_give_the_gradient_of_the_whole(subject: Subject) -> None:
    """Where they do in FP32. A mean over tokens, class weights, or statistics of a batch make another loss of its parts."""
    if subject.mode.negative_control:
        pytest.skip("it is known to fail, and torch adds up no sparse gradients in FP16 on a CPU")
    fp32 = precisions["fp32"]
    if not _same(subject, _observed(subject, fp32, 1), _observed(subject, fp32, 3), fp32.roundoff()):
        pytest.skip("in FP32, too, the parts of a batch have another loss or gradient than the whole")
    settle_scale(subject.step(), subject.batch())
    whole, parts = (_observed(subject, None, n) for n in (1, 3))
    assert _same(subject, whole, parts, subject.mode.roundoff())


def _observed(subject: Subject, mode: type | None, parts: int) -> Observation:
    return observe(subject.step(mode, accumulate=parts), subject.batch(), updates=1)


def _same(subject: Subject, whole: Observation, parts: Observation, roundoff: float) -> bool:
    loss = parts.loss == pytest.approx(whole.loss, rel=32 * roundoff)
    return loss and relative_error(parts.gradients, whole.gradients) <= 2 * subject.gradient_error_of(roundoff)
