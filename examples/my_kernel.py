from torch import nn
from transformers.activations import NewGELUActivation

from mpcore.precision import Variant
from mpcore.registry import precisions


@precisions.register
class FusedGelu(Variant):
    """GPT-2's activation as one kernel of torch, in place of eight."""

    name = "bf16-amp-gelu"
    base = "bf16-amp"

    def apply(self, model):
        for module in list(model.modules()):
            for name, child in module.named_children():
                if isinstance(child, NewGELUActivation):
                    setattr(module, name, nn.GELU(approximate="tanh"))
