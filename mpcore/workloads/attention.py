"""Attention without a mask."""

from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

UNMASKED = "sdpa_unmasked"
"""transformers' own attention under a name that it makes no masks for; a decoder's is causal all the same. Under its own
name it makes a dense one while a graph is captured or compiled, where it cannot look whether there is anything to mask, and a
slower kernel takes it."""
AttentionInterface.register(UNMASKED, sdpa_attention_forward)
