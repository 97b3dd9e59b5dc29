"""`fp16-amp` and `bf16-amp`."""

import pytest
import torch
from torch import nn

from mpcore.device.flops import FlopCount
from mpcore.precision.autocast import BF16Autocast, FP16Autocast
from mpcore.workloads import cross_entropy


@pytest.fixture(params=[FP16Autocast, BF16Autocast])
def mode(request):
    return request.param


def test_activations_are_16_bit_and_weights_gradients_and_loss_are_not(mode, model, batch, recipe):
    precision = mode()
    precision.prepare(model, recipe)
    with precision.forward():
        logits = model(batch[0])
        loss = cross_entropy(logits, batch[1])
    precision.backward(loss)
    assert logits.dtype == mode.dtype
    assert loss.dtype == torch.float32
    assert {p.dtype for p in model.parameters()} == {p.grad.dtype for p in model.parameters()} == {torch.float32}


def test_the_gradient_that_the_optimiser_gets_is_unscaled(model, batch, recipe):
    """By AdamW alone it would hardly show: its update does not change with the gradient's size."""
    precision = FP16Autocast()
    precision.prepare(model, recipe)
    exact = torch.autograd.grad(cross_entropy(model(batch[0]), batch[1]), list(model.parameters()))
    seen = []
    precision.optimiser.register_step_pre_hook(
        lambda optimiser, *_: seen.extend(g / optimiser.grad_scale for g in precision.gradients().values())
    )
    with precision.forward():
        loss = cross_entropy(model(batch[0]), batch[1])
    precision.backward(loss)
    precision.update()
    for gradient, truth in zip(seen, exact, strict=True):
        torch.testing.assert_close(gradient, truth, rtol=0.05, atol=2e-3)


def test_skipped_steps_are_counted(model, batch, recipe):
    precision = FP16Autocast()
    precision.prepare(model, recipe)
    for factor in (1.0, float("inf"), 1.0):
        with precision.forward():
            loss = cross_entropy(model(batch[0]), batch[1]) * factor
        precision.backward(loss)
        precision.update()
    assert precision.state().skipped_steps == 1
    assert precision.state().loss_scale == 2.0**15


def test_a_weight_is_cast_once_however_often_it_is_used():
    layer, x = nn.Linear(8, 8), torch.randn(2, 8)
    casts = []

    class Count(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            if func._schema.name == "aten::_to_copy" and args[0].shape == layer.weight.shape:
                casts.append(func)
            return func(*args, **(kwargs or {}))

    def uses(cached):
        casts.clear()
        with torch.autocast("cpu", torch.bfloat16, cache_enabled=cached), Count():
            layer(layer(layer(x)))
        return len(casts)

    assert (uses(cached=True), uses(cached=False)) == (1, 3)


def test_a_kept_layer_computes_in_fp32(mode, model, batch, recipe):
    precision = mode(keep_fp32=["3"])
    precision.prepare(model, recipe)
    with precision.forward(), FlopCount() as flops:
        logits = model(batch[0])
    assert logits.dtype == torch.float32
    assert set(flops.by_dtype) == {mode.dtype, torch.float32}
