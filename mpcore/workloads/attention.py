"""Attention without a mask."""

from typing import Any

from torch import Tensor
from torch.nn import functional as F
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward

UNMASKED = "sdpa_unmasked"
"""transformers' own attention under a name that it makes no masks for; a decoder's is causal all the same. Under its own name
it makes a dense one while a graph is captured or compiled. It cannot look there whether there is anything to mask, and a slower
kernel takes it."""
GROUPED = "sdpa_grouped"
"""The same of a decoder whose queries share keys in groups."""


def grouped_attention(
    module: Any, query: Tensor, key: Tensor, value: Tensor, _: None, scaling: float | None = None, **options: Any
) -> tuple[Tensor, None]:
    """(batch, heads, length, width) in, (batch, length, heads, width) out. On a GPU flash attention takes groups as they are,
    and 16 bits alone. For what it does not take, keys are repeated, or all of each head's scores would be stored."""
    query, key = query.to(value.dtype), key.to(value.dtype)  # which a rotation in FP32 has widened under autocast
    flash = value.is_cuda and value.element_size() == 2
    if not flash:
        key, value = (repeat_kv(each, module.num_key_value_groups) for each in (key, value))
    attended = F.scaled_dot_product_attention(query, key, value, is_causal=True, scale=scaling, enable_gqa=flash)
    return attended.transpose(1, 2).contiguous(), None


AttentionInterface.register(UNMASKED, sdpa_attention_forward)
AttentionInterface.register(GROUPED, grouped_attention)
