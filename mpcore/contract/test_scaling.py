"""A loss scale that was too large costs one step, and no weight."""

import pytest
import torch

from mpcore.contract.harness import Subject, equal, infinite_loss, optimiser_state, settle_scale, weights_of


def test_an_infinite_gradient_skips_the_step_and_lowers_the_scale(subject: Subject) -> None:
    if not subject.mode.scales:
        pytest.skip(f"{subject.mode.name} does not scale its loss")
    step, batch = subject.step(), subject.batch()
    settle_scale(step, batch)
    before = step.precision.state()
    weights, state = weights_of(step), optimiser_state(step)
    with infinite_loss(step):
        step(batch)
    after = step.precision.state()
    assert before.loss_scale is not None
    assert after.loss_scale == before.loss_scale / 2
    assert after.skipped_steps == before.skipped_steps + 1
    assert equal(weights_of(step), weights)
    assert all(torch.equal(a, b) for a, b in zip(optimiser_state(step), state, strict=True))
    step(batch)
    updated = step.precision.weights()
    assert not all(torch.equal(w, weights[name]) for name, w in updated.items())
