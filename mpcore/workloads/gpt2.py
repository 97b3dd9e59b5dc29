"""GPT-2 small as transformers has it."""

from typing import Any

from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel
from transformers.activations import ACT2FN
from transformers.pytorch_utils import Conv1D

from mpcore.workloads.attention import UNMASKED
from mpcore.workloads.next_token import WithLoss

SLOW, FUSED = "gelu_new", "gelu_pytorch_tanh"
"""One function: in eight kernels of transformers, and in one of torch."""


class GPT2(WithLoss, GPT2LMHeadModel):
    """Its loss is part of it."""


def gpt2(embeddings: int, positions: int, **options: Any) -> nn.Module:
    """GPT-2 small with random weights. options: of its GPT2Config."""
    config = GPT2Config(vocab_size=embeddings, n_positions=positions, bos_token_id=None, eos_token_id=None, **options)
    return trimmed(GPT2(config))


def trimmed(model: Any) -> nn.Module:
    """The same model without avoidable kernels: no masks, no look for padding, for which each step would wait for the device,
    and the fused activation."""
    model.config._attn_implementation = UNMASKED  # private API
    model.config.pad_token_id = None
    if model.config.activation_function == SLOW:
        model.config.activation_function = FUSED
        for block in model.transformer.h:
            block.mlp.act = ACT2FN[FUSED]
    return linear(model)


def linear(model: nn.Module) -> nn.Module:
    """Returns `model`, changed in place: nn.Linear takes the place of each Conv1D of transformers, a linear layer stored the
    other way round. Modes that treat linear layers know it by that name."""
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if isinstance(child, Conv1D):
                inputs, outputs = child.weight.shape
                layer = nn.Linear(inputs, outputs, device="meta")
                layer.weight, layer.bias = nn.Parameter(child.weight.detach().T.contiguous()), child.bias
                setattr(parent, name, layer)
    return model
