"""A training goes on from where it was saved, in batches of any size, with the dropout and the scale that it says."""

import io
import itertools
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mpcore.contract.harness import Subject, equal, settle_scale, weights_of
from mpcore.data import Batch
from mpcore.device.functions import FunctionMode
from mpcore.execution.graph import WARM_UP
from mpcore.precision import ScaleState
from mpcore.precision.scale import GROWTH_INTERVAL
from mpcore.training.step import TrainStep

SMALLER = 5
"""Rows of a last batch."""
SIGMAS = 6


def through_a_file(state: dict[str, Any]) -> dict[str, Any]:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    loaded: dict[str, Any] = torch.load(file)
    return loaded


def losses_of(step: TrainStep, batches: Sequence[Batch]) -> Tensor:
    return torch.stack([step(batch).clone() for batch in batches])


def goes_on(step: TrainStep, other: TrainStep, batches: Sequence[Batch]) -> None:
    """`other` goes on from what is saved of `step` as `step` does: to the bit, unless `step` itself does not repeat so, for
    some kernels of a GPU add up in another order each time."""
    state, saved = through_a_file(step.state_dict()), weights_of(step)
    other.load_state_dict(state)
    forgotten = ", ".join(unlike(step.model, other.model)) or "what it remembers in another place"
    assert equal(weights_of(other), saved)
    expected, found = losses_of(step, batches), losses_of_loaded(other, state, batches)
    assert other.precision.state() == step.precision.state()
    weights = weights_of(step)
    if torch.equal(found, expected) and equal(weights_of(other), weights):
        return
    again, few = losses_of_loaded(step, state, batches), 64 * step.precision.roundoff()
    repeats = torch.equal(again, expected) and equal(weights_of(step), weights)
    if repeats or not torch.allclose(found, expected, rtol=few, atol=few):
        pytest.fail(
            f"a training does not go on as it was saved: state_dict() leaves out {forgotten}; "
            "expected it in a persistent buffer that keeps its format"
        )


def losses_of_loaded(step: TrainStep, state: dict[str, Any], batches: Sequence[Batch]) -> Tensor:
    """With the random numbers that are in it, too."""
    step.load_state_dict(state)
    return losses_of(step, batches)


def unlike(model: nn.Module, other: nn.Module) -> list[str]:
    """What modules remember in tensors and numbers beside their weights, and is not the same."""
    found = []
    for (name, module), theirs in zip(model.named_modules(), other.modules(), strict=True):
        remembered, in_other = ({**vars(m), **dict(m.named_buffers(recurse=False))} for m in (module, theirs))
        for key, value in remembered.items():
            if not same(value, in_other.get(key)):
                found.append(f"{key!r} of {name or 'the model'} ({type(module).__name__})")
    return found


def same(value: Any, other: Any) -> bool:
    if isinstance(value, Tensor) and isinstance(other, Tensor):
        return value.dtype == other.dtype and torch.equal(value.to_dense(), other.to_dense())
    return value == other if isinstance(value, bool | int | float | str) else True


def test_a_training_goes_on_from_what_was_saved(subject: Subject) -> None:
    """In a new step, of other weights, with other random numbers."""
    if subject.mode.negative_control:
        pytest.skip("its weights are not finite any more")
    step, other = subject.step(dropout=True), subject.step(dropout=True, seed=1)
    batches = subject.batches(2)
    settle_scale(step, batches[0])
    losses_of(step, batches)
    goes_on(step, other, batches)


def test_a_graph_goes_on_from_what_was_saved(subject: Subject) -> None:
    """One that was captured already, before it was loaded."""
    if subject.mode.negative_control:
        pytest.skip("its weights are not finite any more")
    step, other = subject.graph_step(dropout=True), subject.graph_step(dropout=True, seed=1)
    batches = subject.batches(4)
    for each in (step, other):
        settle_scale(each, batches[0])
        losses_of(each, list(itertools.islice(itertools.cycle(batches), 2 * WARM_UP)))
        assert each.captured
    goes_on(step, other, batches)
    assert other.captured


def test_a_graph_that_is_captured_again_trains_the_same(subject: Subject) -> None:
    if subject.mode.negative_control:
        pytest.skip("what is not finite is equal to nothing")
    batches = list(itertools.islice(itertools.cycle(subject.batches(4)), 4 * WARM_UP))
    first, again = (losses_of(subject.graph_step(), batches) for _ in range(2))
    torch.testing.assert_close(again, first, rtol=32 * subject.mode.roundoff(), atol=32 * subject.mode.roundoff())


def test_the_scale_grows_after_enough_good_steps(subject: Subject) -> None:
    """The last of them is made."""
    step, batch = subject.step(), subject.batch()
    settle_scale(step, batch)
    state = step.state_dict()
    if "good_steps" not in state["precision"]["scale"]:
        pytest.skip(f"{subject.mode.name} does not scale its loss, or saves no count of good steps")
    state["precision"]["scale"]["good_steps"] = GROWTH_INTERVAL - 1
    step.load_state_dict(state)
    before = step.precision.state()
    assert before.loss_scale is not None
    step(batch)
    assert step.precision.state() == ScaleState(2 * before.loss_scale, before.skipped_steps)


def smaller(subject: Subject) -> Batch:
    return subject.workload.split("train", subject.device).rows(slice(SMALLER))


def test_a_smaller_last_batch_trains(subject: Subject) -> None:
    step = subject.step()
    settle_scale(step, subject.batch())
    before = weights_of(step)
    loss = step(smaller(subject))
    if subject.mode.negative_control:
        return
    assert loss.isfinite()
    assert not equal(weights_of(step), before) or step.precision.state().skipped_steps


def test_a_smaller_last_batch_is_captured_for_itself(subject: Subject) -> None:
    """And trains as in eager steps."""
    if subject.mode.negative_control:
        pytest.skip("what is not finite is equal to nothing")
    if subject.draws:
        pytest.skip("the loss draws random numbers, and a graph draws others than eager steps do")
    graph, eager = subject.graph_step(), subject.step()
    batches = [subject.batch(), smaller(subject)] * (2 * WARM_UP)
    curves = []
    for step in (graph, eager):
        step.precision.set_learning_rate(1e-4)
        curves.append(losses_of(step, batches))
    torch.testing.assert_close(curves[0], curves[1], rtol=32 * subject.mode.roundoff(), atol=32 * subject.mode.roundoff())


class Dropped(FunctionMode):
    """What is dropped by torch's functions, modules included: entries, expected and found, and the variance of that."""

    def __init__(self) -> None:
        super().__init__()
        self.expected = self.found = self.variance = 0.0
        self.misscaled = 0

    def call(self, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        before = args[0].detach().clone() if func is F.dropout else None
        result = func(*args, **kwargs)
        if before is not None:
            options = dict(zip(("input", "p", "training", "inplace"), args, strict=False)) | kwargs
            if options.get("training", True) and 0 < options.get("p", 0.5) < 1:
                self.count(before, result.detach(), options.get("p", 0.5))
        return result

    def count(self, before: Tensor, after: Tensor, p: float) -> None:
        there = before != 0
        kept = there & (after != 0)
        entries = int(there.sum())
        self.expected += p * entries
        self.variance += p * (1 - p) * entries
        self.found += entries - int(kept.sum())
        spacing = torch.finfo(after.dtype).smallest_normal * torch.finfo(after.dtype).eps  # of what is subnormal
        off = (after.float() * (1 - p) - before.float()).abs() > 0.02 * before.float().abs() + spacing
        self.misscaled += int((off & kept).sum())


def test_dropout_drops_what_it_says(subject: Subject) -> None:
    """The share p, and what is left is scaled by 1/(1-p)."""
    step = subject.step(dropout=True)
    with Dropped() as dropped:
        step(subject.batch())
    if not dropped.expected:
        pytest.skip("the model calls no dropout")
    assert abs(dropped.found - dropped.expected) <= SIGMAS * dropped.variance**0.5 + 1
    assert dropped.misscaled == 0
