"""`fp8`: as `bf16-amp`, with the products of linear layers in FP8: e4m3 forward, e5m2 for gradients, scaled tensor by
tensor so that the largest entry is the format's. Micikevicius et al., "FP8 Formats for Deep Learning" (2022); torchao."""

import importlib.util
from typing import Any

import torch
from torch import nn

from mpcore.device.machine import name_and_capability
from mpcore.precision.autocast import Autocast
from mpcore.precision.base import Inapplicable, precisions
from mpcore.precision.casting import matching
from mpcore.records import Recipe

MULTIPLE = 16
"""Of both sides of a weight, as the FP8 matrix units take them."""


@precisions.register
class FP8(Autocast):
    """emulate: the products are those of BF16 numbers that were rounded to FP8, which runs anywhere and is slow."""

    name = "fp8"
    dtype = torch.bfloat16
    on_request = True
    has_ceiling = False
    is_mixed = False
    """Scaling is many small kernels, which only a compiler makes few."""

    def __init__(self, *, emulate: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.emulate = emulate

    @classmethod
    def roundoff(cls) -> float:
        return torch.finfo(torch.float8_e4m3fn).eps / 2

    @classmethod
    def unsupported(cls, device: torch.device) -> str | None:
        if importlib.util.find_spec("torchao") is None:
            return "fp8 needs torchao, which is not installed: pip install 'mpcore[modes]'"
        if device.type != "cuda":
            return f"fp8 needs an NVIDIA GPU of compute capability 8.9 or later; this is a {device.type}"
        if torch.cuda.get_device_capability(device) < (8, 9):
            return f"fp8 needs compute capability 8.9 or later; this is {name_and_capability(device)}"
        return None

    def prepare(self, model: nn.Module, recipe: Recipe) -> None:
        """Raises Inapplicable where no layer can be converted."""
        from torchao.float8 import Float8LinearConfig, convert_to_float8_training
        from torchao.float8.float8_linear import Float8Linear

        held = {inner for module in matching(model, self.keep_fp32).values() for inner in module.modules()}
        linear = [m for m in model.modules() if isinstance(m, nn.Linear)]

        def fits(module: nn.Module, _: str) -> bool:
            return isinstance(module, nn.Linear) and module not in held and not any(n % MULTIPLE for n in module.weight.shape)

        convert_to_float8_training(
            model, module_filter_fn=fits, config=Float8LinearConfig(emulate=self.emulate, pad_inner_dim=True)
        )
        self.converted = sum(isinstance(m, Float8Linear) for m in model.modules())
        self._linear = len(linear)
        if not self.converted:
            raise Inapplicable(
                f"{self.name} has nothing to do in {type(model).__name__}: of its {len(linear)} linear layers none has a "
                f"weight whose sides are multiples of {MULTIPLE}"
            )
        super().prepare(model, recipe)

    @property
    def remark(self) -> str:
        return f"{self.converted} of {self._linear} linear layers are in FP8"
