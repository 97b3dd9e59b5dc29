"""`fp8` and `fp8-rowwise`: as `bf16-amp`, with the products of linear layers in FP8, scaled so that the largest entry is the
format's. Micikevicius et al., "FP8 Formats for Deep Learning" (2022); torchao."""

import importlib.util
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import nn

from mpcore.device.machine import name_and_capability
from mpcore.precision.base import precisions
from mpcore.precision.casting import matching
from mpcore.precision.errors import Inapplicable
from mpcore.precision.variant import Variant

MULTIPLE = 16
"""Of both sides of a weight, as the FP8 matrix units take them."""


@precisions.register
class FP8(Variant):
    """One scale for a tensor: e4m3 forward, e5m2 for gradients. The layers are those in which torchao's filter expects to gain,
    by their width.

    emulate: the products are those of BF16 numbers that were rounded to FP8, which runs anywhere and is slow; in all layers
    whose sides fit.
    """

    name = "fp8"
    base = "bf16-amp"
    format = torch.float8_e4m3fn
    on_request = True
    has_ceiling = False
    compiled_only = "its scaling is many small kernels. Without a compiler they take four times as long as the products save"
    scaling: ClassVar[str] = "tensorwise"
    """As torchao calls its recipes."""
    capability: ClassVar[tuple[int, int]] = (8, 9)

    def __init__(self, *, emulate: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.emulate = emulate

    @classmethod
    def unsupported(cls, device: torch.device) -> str | None:
        least = ".".join(map(str, cls.capability))
        if importlib.util.find_spec("torchao") is None:
            return f"{cls.name} needs torchao, which is not installed: pip install 'mpcore[modes]'"
        if device.type != "cuda":
            return f"{cls.name} needs an NVIDIA GPU of compute capability {least} or later; this is a {device.type}"
        if torch.cuda.get_device_capability(device) < cls.capability:
            return f"{cls.name} needs compute capability {least} or later; this is {name_and_capability(device)}"
        return None

    def apply(self, model: nn.Module) -> None:
        """Raises Inapplicable where no layer would gain."""
        from torchao.float8 import Float8LinearConfig, convert_to_float8_training
        from torchao.float8.float8_linear_utils import _auto_filter_for_recipe  # private API

        held = {inner for module in matching(model, self.keep_fp32).values() for inner in module.modules()}
        linear = [m for m in model.modules() if isinstance(m, nn.Linear) and m not in held]
        gains = _fits if self.emulate else _auto_filter_for_recipe(self.scaling, filter_fqns=[])  # private API
        chosen = {m for m in linear if gains(m, "")}
        if not chosen:
            wanted = f"sides that are multiples of {MULTIPLE}" if self.emulate else f"the width to gain by it ({self.scaling})"
            raise Inapplicable(
                f"{self.name} has nothing to do in {type(model).__name__}: of its {len(linear)} linear layers none has {wanted}"
            )
        config = replace(Float8LinearConfig.from_recipe_name(self.scaling), emulate=self.emulate, pad_inner_dim=True)
        convert_to_float8_training(model, module_filter_fn=lambda module, _: module in chosen, config=config)
        self._converted = f"{len(chosen)} of {len(linear)} linear layers are in FP8"

    @property
    def remark(self) -> str:
        return self._converted


@precisions.register
class FP8Rowwise(FP8):
    """A scale for each row or column, a power of two; e4m3 for gradients, too."""

    name = "fp8-rowwise"
    scaling = "rowwise"
    capability = (9, 0)


def _fits(module: nn.Module, _: str) -> bool:
    return isinstance(module, nn.Linear) and not any(side % MULTIPLE for side in module.weight.shape)
