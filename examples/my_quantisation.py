import torch
from torchao.float8 import Float8LinearConfig, convert_to_float8_training

from mpcore.precision import Variant
from mpcore.registry import precisions


@precisions.register
class Float8(Variant):
    """torchao's FP8 for the products of linear layers; without a GPU BF16 products of numbers that are rounded to FP8."""

    name = "bf16-amp-float8"
    base = "bf16-amp"
    format = torch.float8_e4m3fn

    def apply(self, model):
        config = Float8LinearConfig(emulate=not torch.cuda.is_available(), pad_inner_dim=True)
        convert_to_float8_training(model, config=config, module_filter_fn=lambda module, name: module.in_features % 16 == 0)
