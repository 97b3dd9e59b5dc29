"""Llama as transformers has it: RMSNorm, rotary positions, SwiGLU, queries that share keys in groups."""

from typing import Any

from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from mpcore.workloads.attention import GROUPED
from mpcore.workloads.next_token import WithLoss


class Llama(WithLoss, LlamaForCausalLM):
    """Its loss is part of it."""


def llama(**options: Any) -> nn.Module:
    """With random weights. options: of its LlamaConfig."""
    return trimmed(Llama(LlamaConfig(**options)))


def trimmed(model: Any) -> nn.Module:
    """The same model without avoidable kernels: no masks, and torch's RMSNorm, one kernel, for transformers', which is six."""
    model.config._attn_implementation = GROUPED  # private API
    model.config.pad_token_id = None
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if isinstance(child, LlamaRMSNorm):
                norm = nn.RMSNorm(child.weight.shape, eps=child.variance_epsilon, device="meta")
                norm.weight = child.weight
                setattr(parent, name, norm)
    return model
