"""What is stored and what is computed has the dtype that the mode claims."""

import pytest
import torch
from torch import nn

from mpcore.contract.harness import Subject, at_the_optimiser
from mpcore.device.flops import FlopCount


def test_storage_is_in_the_mode_s_dtype(subject: Subject) -> None:
    """Weights, gradients and state that the optimiser works on are FP32 in all modes that claim masters."""
    step = subject.step()
    stored = torch.float32 if subject.mode.masters else subject.mode.dtype
    seen: set[torch.dtype] = set()
    at_the_optimiser(step, lambda _: seen.update(g.dtype for g in step.precision.gradients().values()))
    step(subject.batch())
    assert seen == {stored}
    assert {w.dtype for w in step.precision.weights().values()} == {stored}
    state = [v for s in step.precision.optimiser.state.values() for k, v in s.items() if k != "step"]
    assert {v.dtype for v in state} == (set() if step.workload.recipe.optimiser == "SGD" else {stored})


def test_arithmetic_is_in_the_mode_s_bits(subject: Subject) -> None:
    with FlopCount() as flops:
        subject.step()(subject.batch())
    assert flops.total > 0
    if subject.mode.low_precision_share:
        assert flops.low_precision_share >= subject.mode.low_precision_share
        assert flops.by_dtype[subject.mode.dtype] > 0
    else:
        assert set(flops.by_dtype) == {subject.mode.dtype}


def test_kept_modules_compute_in_fp32(subject: Subject) -> None:
    """Everything kept: nothing is left in 16 bits. One layer kept: only less."""
    model = subject.step().model
    everything = [name for name, _ in model.named_children()]
    layers = [name for name, m in model.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    if len(layers) < 2 or next(model.parameters(recurse=False), None) is not None:
        pytest.skip("takes two linear layers or convolutions, and a model whose weights all are its modules'")
    with FlopCount() as flops:
        subject.step(keep_fp32=everything)(subject.batch())
    assert flops.low_precision_share == 0
    with FlopCount() as some:
        subject.step(keep_fp32=layers[:1])(subject.batch())
    assert some.by_dtype[torch.float32] > 0
    assert (some.low_precision_share > 0) == (subject.mode.low_precision_share > 0)
