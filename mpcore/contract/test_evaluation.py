"""A model that was trained in a mode is evaluated as it was trained: what it remembers of batches, such as BatchNorm's running
statistics, and the loss are those of FP32 as far as round-off goes."""

from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from mpcore.contract.harness import Subject, settle_scale
from mpcore.data import Batch
from mpcore.gate.limits import ERROR_CAP
from mpcore.measure.finite import floats
from mpcore.measure.yardstick import relative_error
from mpcore.precision import precisions
from mpcore.training.step import TrainStep
from mpcore.workloads import WorkloadError

BATCHES = 8
ROUNDOFFS, RELATIVE = 2, 0.004
"""Of the loss, whichever is more. Seen: 0.6 round-offs of BF16, 0.002 in FP16. Statistics that are lost make 0.005 to 0.015
of it in eight batches (ResNets, U-Net)."""


class Evaluated(NamedTuple):
    """The loss of a batch in evaluation mode, after steps that have moved no weight. trained: its loss in the first of them.
    moved: by how much they have moved buffers. resolved: see `resolution`. outputs: of modules, in the order in
    which they are called first."""

    loss: float
    trained: float
    moved: dict[str, Tensor]
    resolved: dict[str, float]
    outputs: dict[str, Tensor]


def test_evaluation_agrees_with_fp32(subject: Subject) -> None:
    """In the same weights: the learning rate is 0. As far as the loss in training does: what a model chooses by rounded numbers
    may be another choice in both."""
    if subject.mode.negative_control:
        pytest.skip("what is not finite is equal to nothing")
    if subject.draws:
        pytest.skip("the loss is random without dropout")
    settle_scale(subject.step(), subject.batch())
    try:
        expected = subject.once("evaluated in fp32", lambda: evaluated(subject.step(precisions["fp32"]), subject))
    except WorkloadError as error:
        pytest.skip(f"in FP32, too, the loss cannot be computed in evaluation mode: {error}")
    found, mode = evaluated(subject.step(), subject), subject.mode.name
    judged = {name: m for name, m in expected.moved.items() if m.numel() and m.abs().max() > found.resolved.get(name, 0.0)}
    for name, off in errors(found.moved, judged).items():
        assert off <= ERROR_CAP, f"training moves {name} in {mode} otherwise than in FP32: {100 * off:.0f} % of it is wrong"
    limit = max(RELATIVE, ROUNDOFFS * subject.mode.roundoff()) * abs(expected.loss)
    limit = max(limit, 2 * abs(found.trained - expected.trained))
    wrong, cap = errors(found.outputs, expected.outputs), subject.gradient_error
    first = next((name for name, off in wrong.items() if off > cap), "none")
    sentence = (
        f"{mode} has another loss in evaluation mode: the first module whose output is off by over {cap:.2g} is {first!r}"
    )
    assert found.loss == pytest.approx(expected.loss, rel=0, abs=limit), sentence


def errors(found: dict[str, Tensor], expected: dict[str, Tensor]) -> dict[str, float]:
    """Relative, of what both have in one shape, and is not 0."""
    both = [name for name in expected if name in found and found[name].shape == expected[name].shape]
    return {name: relative_error({name: found[name]}, {name: expected[name]}) for name in both if expected[name].any()}


def evaluated(step: TrainStep, subject: Subject) -> Evaluated:
    step.set_rate(0.0)
    before, resolved = buffers(step.model), resolution(step.model)
    trained = [step(batch).item() for batch in subject.batches(BATCHES)]
    moved = {name: now - before[name] for name, now in buffers(step.model).items() if name in before}
    step.model.eval()
    outputs: dict[str, Tensor] = {}
    for name, module in step.model.named_modules():
        module.register_forward_hook(lambda _, __, output, name=name: note(outputs, name, output))
    with step.settings(), step.precision.forward():
        return Evaluated(loss_of(step, subject.batch()).item(), trained[0], moved, resolved, outputs)


def buffers(model: nn.Module) -> dict[str, Tensor]:
    return {name: b.to(torch.float64, copy=True) for name, b in dense_buffers(model).items()}


def resolution(model: nn.Module) -> dict[str, float]:
    """By how much the steps must move each buffer, or its format may lose that by rounding: a variance near 1 in BF16."""
    kept = {name: b for name, b in dense_buffers(model).items() if b.numel()}
    return {name: BATCHES * torch.finfo(b.dtype).eps * float(b.abs().max()) for name, b in kept.items()}


def dense_buffers(model: nn.Module) -> dict[str, Tensor]:
    return {name: b.detach().to_dense() for name, b in model.named_buffers() if b.is_floating_point()}


def note(outputs: dict[str, Tensor], name: str, output: object) -> None:
    if tensors := floats(output):
        outputs.setdefault(name, tensors[0].double())


def loss_of(step: TrainStep, batch: Batch) -> Tensor:
    try:
        return step.workload.loss(step.model, batch)
    except Exception as error:
        raise WorkloadError(str(error)) from error
