"""Two demonstrations of why mixed precision is done as it is: what becomes of small updates and of small gradients, in the
modes themselves. Micikevicius et al., "Mixed Precision Training" (2018), sections 3.1 and 3.2."""

import argparse
from typing import TYPE_CHECKING

from mpcore.commands.arguments import Commands, check_system
from mpcore.commands.output import show

if TYPE_CHECKING:
    import torch

    from mpcore.precision import Precision
    from mpcore.report.document import Document, Table

UPDATES, UPDATE = 100, 1e-4
GRADIENT = 2.0**-27
SCALES = (1.0, 2.0**10)
LOSS = 0.01
"""A factor, so that no gradient overflows at the first scale."""
WEIGHTS = 4096
"""So that chance, in the mode that rounds by it, evens out."""


def add(commands: Commands) -> None:
    """Adds the command."""
    parser = commands.add_parser("theory", help="what becomes of small updates and gradients in each mode")
    parser.set_defaults(run=run)


def run(_: argparse.Namespace) -> int:
    """Computes and prints the tables. Raises ProjectError where torch cannot be used."""
    check_system()
    from mpcore.device.machine import default_device

    show(theory(default_device()))
    return 0


def theory(device: "torch.device") -> "Document":
    """The tables, computed now."""
    from mpcore.report.document import Document, Section

    return Document(
        "", [Section(tables=[sums(device)]), Section(tables=[updates(device)]), Section(tables=[gradients(device)])]
    )


def sums(device: "torch.device") -> "Table":
    """1 + 0.0001 in each format."""
    import torch

    from mpcore.report.document import Table

    one, small = (torch.tensor(value, dtype=torch.float64, device=device) for value in (1.0, UPDATE))
    formats = (torch.float32, torch.float16, torch.bfloat16)
    rows = [[str(dtype).removeprefix("torch."), f"{(one.to(dtype) + small.to(dtype)).item():.7g}"] for dtype in formats]
    return Table(["format", f"1 + {UPDATE}"], rows, align="ll")


def updates(device: "torch.device") -> "Table":
    """A weight of 1 to which 0.0001 is added a hundred times, by the optimiser of each mode."""
    from mpcore.precision import precisions
    from mpcore.report.document import Table

    rows = [[name, precisions[name].unsupported(device) or _updated(precisions[name](), device)] for name in precisions.names()]
    return Table(["mode", f"1 after {UPDATES} updates of {UPDATE} (exact: {1 + UPDATES * UPDATE:g})"], rows, align="ll")


def gradients(device: "torch.device") -> "Table":
    """A gradient of 2^-27, below FP16's smallest number of 2^-24, with and without a loss scale."""
    import torch

    from mpcore.report.document import Table

    rows = []
    for scale in SCALES:
        weight = torch.ones(1, dtype=torch.float16, device=device, requires_grad=True)
        (weight.float() * GRADIENT * scale).sum().backward()
        assert weight.grad is not None
        rows.append([f"{scale:g}", f"{weight.grad.item():.4g}", f"{weight.grad.item() / scale:.4g}"])
    return Table(["loss scale", "gradient in FP16", f"unscaled (exact: {GRADIENT:.4g})"], rows, align="lll")


def _updated(precision: "Precision", device: "torch.device") -> str:
    """Adam divides a gradient that is always the same by its size, so that each update is the learning rate."""
    import torch

    from mpcore.precision import Inapplicable
    from mpcore.records import Recipe

    torch.manual_seed(0)
    layer = torch.nn.Linear(WEIGHTS, 1, bias=False, device=device)
    torch.nn.init.ones_(layer.weight)
    try:
        model = precision.patched(torch.nn.Sequential(layer))  # which may put another layer in place of one in a model
        precision.prepare(model, Recipe(epochs=1, batch_size=1, learning_rate=UPDATE, weight_decay=0.0))
    except Inapplicable as reason:
        return str(reason)
    with precision.settings():
        for _ in range(UPDATES):
            with precision.forward():
                loss = -LOSS * model(torch.ones(1, WEIGHTS, device=device)).float().sum()
            precision.backward(loss)
            precision.update()
    return f"{precision.weights()['0.weight'].double().mean().item():.5f}"
