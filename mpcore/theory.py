"""Two demonstrations of why mixed precision is done as it is: what becomes of small updates and of small gradients, in the
modes themselves. Micikevicius et al., "Mixed Precision Training" (2018), sections 3.1 and 3.2."""

import tabulate
import torch
from torch import Tensor, nn

import mpcore.report  # noqa: F401  (which sets how wide a heading is)
from mpcore import precision as _modes  # noqa: F401  (registers the modes)
from mpcore.precision import Inapplicable, Precision
from mpcore.records import Recipe
from mpcore.registry import precisions

UPDATES, UPDATE = 100, 1e-4
GRADIENT = 2.0**-27
SCALES = (1.0, 2.0**10)
LOSS = 0.01
"""A factor, so that no gradient overflows at the first scale."""
WEIGHTS = 4096
"""So that chance, in the mode that rounds by it, evens out."""


def theory(device: torch.device) -> str:
    """Both tables as markdown, computed now."""
    return "\n\n".join([sums(device), updates(device), gradients(device)]) + "\n"


def sums(device: torch.device) -> str:
    """1 + 0.0001 in each format."""
    one, small = (torch.tensor(value, dtype=torch.float64, device=device) for value in (1.0, UPDATE))
    formats = (torch.float32, torch.float16, torch.bfloat16)
    lines = [[str(dtype).removeprefix("torch."), f"{(one.to(dtype) + small.to(dtype)).item():.7g}"] for dtype in formats]
    return _table(["format", f"1 + {UPDATE}"], lines)


def updates(device: torch.device) -> str:
    """A weight of 1 to which 0.0001 is added a hundred times, by the optimiser of each mode."""
    lines = []
    for name in precisions.names():
        reason = precisions[name].unsupported(device)
        lines.append([name, reason or _updated(precisions[name](), device)])
    return _table(["mode", f"1 after {UPDATES} updates of {UPDATE} (exact: {1 + UPDATES * UPDATE:g})"], lines)


def gradients(device: torch.device) -> str:
    """A gradient of 2^-27, below FP16's smallest number of 2^-24, with and without a loss scale."""
    lines = []
    for scale in SCALES:
        weight = torch.ones(1, dtype=torch.float16, device=device, requires_grad=True)
        (weight.float() * GRADIENT * scale).sum().backward()
        assert weight.grad is not None
        lines.append([f"{scale:g}", f"{weight.grad.item():.4g}", f"{weight.grad.item() / scale:.4g}"])
    return _table(["loss scale", "gradient in FP16", f"unscaled (exact: {GRADIENT:.4g})"], lines)


class _Weights(nn.Module):
    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.layer = nn.Linear(WEIGHTS, 1, bias=False, device=device)
        nn.init.ones_(self.layer.weight)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer(x)
        return out


def _updated(precision: Precision, device: torch.device) -> str:
    """Adam divides a gradient that is always the same by its size, so that each update is the learning rate."""
    torch.manual_seed(0)
    model = _Weights(device)
    try:
        precision.prepare(model, Recipe(epochs=1, batch_size=1, learning_rate=UPDATE, weight_decay=0.0))
    except Inapplicable as reason:
        return str(reason)
    with precision.settings():
        for _ in range(UPDATES):
            with precision.forward():
                loss = -LOSS * model(torch.ones(1, WEIGHTS, device=device)).float().sum()
            precision.backward(loss)
            precision.update()
    return f"{precision.weights()['layer.weight'].double().mean().item():.5f}"


def _table(headers: list[str], lines: list[list[str]]) -> str:
    return tabulate.tabulate(lines, headers=headers, tablefmt="github", disable_numparse=True)
