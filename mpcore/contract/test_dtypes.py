"""What is stored and what is computed has the dtype that the mode claims."""

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from mpcore.contract.harness import Subject, at_the_optimiser, settle_scale
from mpcore.device.dispatch import Dispatch
from mpcore.device.flops import FlopCount
from mpcore.gate.limits import MOST_OF_A_STEP
from mpcore.training.formats import called_modules
from mpcore.training.step import TrainStep

FP32 = {"float32", "tf32"}


def test_storage_is_in_the_mode_s_dtype(subject: Subject) -> None:
    """Weights, gradients and the optimiser's state are FP32 in all modes that claim masters, and in kept modules. Complex
    weights are, too: torch trains none in 16 bits."""
    step, batch = subject.step(), subject.batch()
    settle_scale(step, batch)
    stored = torch.float32 if subject.mode.masters else subject.mode.dtype
    fp32_too = step.precision.kept or any(p.is_complex() for p in step.model.parameters())
    allowed = {stored, torch.float32} if fp32_too else {stored}
    seen: set[torch.dtype] = set()
    at_the_optimiser(step, lambda _: seen.update(_real(g) for g in step.precision.gradients().values()))
    step(batch)
    assert stored in seen <= allowed
    assert stored in {_real(w) for w in step.precision.weights().values()} <= allowed
    values = [v for s in step.precision.optimiser.state.values() for k, v in s.items() if k != "step"]
    assert {_real(v) for v in values if isinstance(v, Tensor) and (v.is_floating_point() or v.is_complex())} <= allowed


def test_arithmetic_is_in_the_mode_s_bits(subject: Subject) -> None:
    """What the model's author computes in FP64 stays so."""
    step = subject.step()
    with FlopCount(step.precision.fp32_on_purpose) as flops:
        step(subject.batch())
    if not flops.total:
        pytest.skip("no FLOPs to count: there is no matrix product, no convolution and no attention")
    if subject.mode.low_precision_share:
        least = subject.mode.low_precision_share * (1 - MOST_OF_A_STEP * flops.fp32_on_purpose)
        assert flops.low_precision_share >= least
        assert flops.by_dtype[subject.mode.dtype] > 0 or least <= 0
    else:
        in_fp64 = flops.by_dtype.pop(torch.float64, 0)
        assert set(flops.by_dtype) == {subject.mode.dtype}
        assert in_fp64 <= (subject.flops_in_fp64 if in_fp64 else 0)


def test_kept_modules_compute_in_fp32(subject: Subject) -> None:
    """Everything kept that is called for sure: no product of theirs is left in 16 bits. One layer kept: only its own are in
    FP32."""
    step = subject.step()
    names = called_modules(subject.workload, subject.device)
    called = {name: module for name, module in step.model.named_modules() if name in names}
    layers = [name for name, module in called.items() if isinstance(module, nn.Linear | nn.Conv2d)]
    if len(layers) < 2:
        pytest.skip("takes two linear layers or convolutions that are called")
    plain = _products(step, subject)
    if next(step.model.parameters(recurse=False), None) is None:
        kept = _outermost(called)
        products = _products(subject.step(keep_fp32=kept), subject)
        assert {dtype for module, dtype in products if any(f"{module}.".startswith(f"{name}.") for name in kept)} <= FP32
    products = _products(subject.step(keep_fp32=layers[:1]), subject)
    assert {dtype for module, dtype in products if module == layers[0]} <= FP32
    if {dtype for module, dtype in plain if module != layers[0]} - FP32:
        assert {dtype for _, dtype in products} - FP32


def _products(step: TrainStep, subject: Subject) -> set[tuple[str, str]]:
    """Module and format of each product of the forward pass: in the backward pass autocast is on where the loss itself takes a
    gradient, and off where it does not."""
    with Dispatch(step.model) as dispatched:
        step(subject.batch())
    return {(module, dtype) for module, phase, dtype in dispatched.products if phase == "forward"}


def _outermost(called: Mapping[str, nn.Module]) -> list[str]:
    """Those that are within no other, of those with weights."""
    found: list[str] = []
    for name, module in called.items():
        within = any(name.startswith(f"{outer}.") for outer in found)
        if name and not within and next(module.parameters(), None) is not None:
            found.append(name)
    return found


def _real(tensor: Tensor) -> torch.dtype:
    return tensor.dtype.to_real()
