"""The yardstick computes in FP64 whatever formats a model's author wrote."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from mpcore.precision.pure import FP64
from mpcore.precision.widened import Widened, widened

X = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))


class Embedded(nn.Module):
    """A sinusoidal embedding made in FP32."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(8, 3)

    def forward(self, x):
        frequency = torch.arange(8, dtype=torch.float32, device=x.device)
        return self.layer((x.float().mean(1, keepdim=True) * frequency).cos())


class Recurrent(nn.Module):
    """Its first state is made in FP32, and torch looks at formats before it computes."""

    def __init__(self):
        super().__init__()
        self.layer = nn.LSTM(8, 3)

    def forward(self, x):
        state = torch.zeros(1, 3, dtype=torch.float32)
        return self.layer(x.float(), (state, state))[0]


class Table(nn.Module):
    """A tensor in FP32 that is no buffer, and so is not cast with the model."""

    def __init__(self):
        super().__init__()
        self.table = torch.randn(8, 8)
        self.layer = nn.Linear(8, 3)

    def forward(self, x):
        return self.layer(x @ self.table)


class Router(nn.Module):
    """In FP32 by its author's hand, and cast back."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(8, 3)

    def forward(self, x):
        with torch.autocast("cpu", enabled=False):
            return self.layer(x.to(torch.float32)).softmax(-1, dtype=torch.float32).to(x.dtype)


class Counted(nn.Module):
    """A buffer that is changed in place, and a comparison that becomes a number."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(8, 3)
        self.register_buffer("mean", torch.zeros(8))

    def forward(self, x):
        with torch.no_grad():
            self.mean.mul_(0.9).add_(x.mean(0), alpha=0.1)
            self.mean[0] = 0.0
        return self.layer((x > 0).float() + x - self.mean)


class Recomputed(nn.Module):
    """Run once more in the backward pass."""

    def __init__(self):
        super().__init__()
        self.inner = Embedded()

    def forward(self, x):
        return checkpoint(self.inner, x.requires_grad_(), use_reentrant=False)


@pytest.mark.parametrize("kind", [Embedded, Recurrent, Table, Router, Counted, Recomputed])
def test_what_is_made_in_fp32_inside_is_no_obstacle(kind, recipe):
    torch.manual_seed(0)
    model = kind()
    exact = model(X.clone()).square().mean()
    if kind is Counted:
        model.mean.zero_()
    mode = FP64()
    mode.prepare(model, recipe)
    with mode.forward():
        loss = model(X.clone()).square().mean()
    mode.backward(loss)
    assert loss.dtype == torch.float64
    assert loss.item() == pytest.approx(exact.item(), rel=1e-6)
    assert loss.item() != exact.item()
    assert {gradient.dtype for gradient in mode.gradients().values()} == {torch.float64}


def test_a_loss_in_fp32_by_its_author_s_hand_is_computed_in_fp64():
    x = X.double()
    with widened(Widened()):
        loss = F.mse_loss(x.float(), torch.zeros(4, 8)).float()
    assert loss.dtype == torch.float64
    assert loss.item() == x.square().mean().item()


def test_complex_weights_are_widened_too(recipe):
    class Fourier(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(5, dtype=torch.complex64))

        def forward(self, x):
            return torch.fft.irfft(torch.fft.rfft(x) * self.weight, n=8)

    model = Fourier()
    mode = FP64()
    mode.prepare(model, recipe)
    with mode.forward():
        assert model(X).dtype == torch.float64
    assert model.weight.dtype == torch.complex128


def test_formats_are_the_author_s_again_afterwards():
    with pytest.raises(KeyError), widened(Widened()):
        raise KeyError
    assert torch.get_default_dtype() == torch.float32
    assert torch.zeros(1).float().dtype == torch.float32


def test_integers_stay_integers():
    with widened(Widened()):
        assert torch.arange(3).dtype == torch.int64
        assert torch.zeros(2, dtype=torch.bool).dtype == torch.bool


def test_what_comes_before_the_model_is_as_in_every_mode(recipe):
    """How a batch is normalised is a part of what is trained on, and of no mode's error."""
    model = nn.Linear(8, 3)
    mode = FP64()
    mode.prepare(model, recipe)
    with mode.forward():
        normalised = (X / 3).float()
        loss = model(normalised).float().square().mean().float()
    assert (normalised.dtype, loss.dtype) == (torch.float32, torch.float64)
    assert loss.item() == nn.functional.linear((X / 3).double(), model.weight, model.bias).square().mean().item()


def test_a_gradient_by_what_the_author_made_in_fp32_is_that_of_the_same_tensor(recipe):
    """A gradient penalty: autograd looks for the very tensor, whose hooks are called too."""
    model, seen = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 1)), []
    mode = FP64()
    mode.prepare(model, recipe)
    with mode.forward():
        x = X.clone().requires_grad_()
        out = model(x)
        x.register_hook(lambda gradient: seen.append(gradient.shape))
        (slope,) = torch.autograd.grad(out.sum(), x, create_graph=True)
        loss = (slope.norm(dim=1) - 1).square().mean()
    mode.backward(loss)
    inner = torch.autograd.functional.jacobian(lambda rows: model(rows).sum(0), X.double())[0]
    assert loss.item() == pytest.approx((inner.norm(dim=1) - 1).square().mean().item(), rel=1e-6)
    assert {gradient.dtype for gradient in mode.gradients().values()} == {torch.float64}
    assert seen
