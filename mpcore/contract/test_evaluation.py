"""A model that was trained in a mode is evaluated as it was trained: what it remembers of batches, such as BatchNorm's running
statistics, is that of FP32 as far as round-off goes."""

import pytest
import torch

from mpcore.contract.harness import Subject, settle_scale
from mpcore.data import Batch
from mpcore.precision import precisions
from mpcore.training.step import TrainStep
from mpcore.workloads import WorkloadError

BATCHES = 8
ROUNDOFFS, RELATIVE = 2, 0.004
"""Of the loss, whichever is more. Seen: 0.6 round-offs of BF16, 0.002 in FP16. Statistics that are lost make 0.005 to 0.015
of it in eight batches (ResNets, U-Net)."""


def test_evaluation_agrees_with_fp32(subject: Subject) -> None:
    """In the same weights: the learning rate is 0."""
    if subject.mode.negative_control:
        pytest.skip("what is not finite is equal to nothing")
    if subject.draws:
        pytest.skip("the loss is random without dropout")
    settle_scale(subject.step(), subject.batch())
    try:
        expected = evaluated(subject.step(precisions["fp32"]), subject)
    except WorkloadError as error:
        pytest.skip(f"in FP32, too, the loss cannot be computed in evaluation mode: {error}")
    found = evaluated(subject.step(), subject)
    assert found == pytest.approx(expected, rel=max(RELATIVE, ROUNDOFFS * subject.mode.roundoff()))


def evaluated(step: TrainStep, subject: Subject) -> float:
    """The loss of a batch in evaluation mode, after steps that have moved no weight."""
    step.set_rate(0.0)
    for batch in subject.batches(BATCHES):
        step(batch)
    step.model.eval()
    with step.settings(), step.precision.forward():
        return loss_of(step, subject.batch()).item()


def loss_of(step: TrainStep, batch: Batch) -> torch.Tensor:
    try:
        return step.workload.loss(step.model, batch)
    except Exception as error:
        raise WorkloadError(str(error)) from error
