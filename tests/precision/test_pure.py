"""`fp16-true` and `bf16-true`, and FP64, the yardstick."""

import pytest
import torch
from torch import nn

from mpcore.precision.pure import FP64, BF16True, FP16True
from mpcore.workloads import cross_entropy


@pytest.mark.parametrize("mode", [FP16True, BF16True, FP64])
def test_everything_is_in_one_dtype(mode, model, batch, recipe):
    precision = mode()
    precision.prepare(model, recipe)
    with precision.forward():
        precision.backward(cross_entropy(model(batch[0]), batch[1]))
    assert {p.dtype for p in model.parameters()} == {p.grad.dtype for p in model.parameters()} == {mode.dtype}
    precision.update()
    state = precision.optimiser.state[model[0].weight]
    assert {state["exp_avg"].dtype, state["exp_avg_sq"].dtype} == {mode.dtype}


def test_the_control_divides_a_gradient_of_zero_by_zero(recipe):
    """Adam's eps is 0 in FP16."""
    layer = nn.Linear(2, 1, bias=False)
    precision = FP16True()
    precision.prepare(layer, recipe)
    precision.backward(layer(torch.tensor([[1.0, 0.0]])).float().sum())
    precision.update()
    assert layer.weight.isnan().tolist() == [[False, True]]


def test_bf16_loses_small_updates(recipe):
    layer = nn.Linear(1, 1, bias=False)
    nn.init.ones_(layer.weight)
    precision = BF16True()
    precision.prepare(layer, recipe)
    precision.set_learning_rate(1e-3)
    for _ in range(100):
        precision.backward(-layer(torch.ones(1, 1)).float().sum())
        precision.update()
    assert layer.weight.item() == 1.0


def test_a_kept_layer_is_fp32(model, batch, recipe):
    precision = BF16True(keep_fp32=["1"])
    precision.prepare(model, recipe)
    assert model(batch[0]).dtype == torch.bfloat16
    assert model[1].weight.dtype == torch.float32
    assert model[0].weight.dtype == torch.bfloat16


def test_a_forward_pass_that_fails_widens_nothing_afterwards(model, batch, recipe):
    mode = FP64()
    mode.prepare(model, recipe)
    with pytest.raises(KeyError), mode.forward():
        raise KeyError
    model(batch[0].double())
    assert (torch.ones(2) @ torch.ones(2)).dtype == torch.float32
