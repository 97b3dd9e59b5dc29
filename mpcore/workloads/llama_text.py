"""`llama-text`: a Llama of about a billion weights trained from scratch to predict the next token of a text."""

from typing import Any

from torch import nn

from mpcore.data.vocabulary import size
from mpcore.records import Recipe, Size
from mpcore.workloads.base import workloads
from mpcore.workloads.checkpoint import pretrained_model
from mpcore.workloads.text import Text

FP32_MODULES = ("model.rotary_emb",)
"""Angles: rounded to 16 bits, positions from some hundred on would be told from each other no more."""
CONFIG: dict[Size, dict[str, Any]] = {
    "tiny": {
        "hidden_size": 64,
        "intermediate_size": 176,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "initializer_range": 0.1,  # what 0.02 is to a width of 2,048
    },
    "full": {
        "hidden_size": 2048,
        "intermediate_size": 5632,
        "num_hidden_layers": 22,
        "num_attention_heads": 32,
        "num_key_value_heads": 4,
    },
}


@workloads.register
class LlamaText(Text):
    """The model of Zhang et al., "TinyLlama: An Open-Source Small Language Model" (2024), 1.1 billion weights, on sequences of
    2,048 tokens. `tiny` is the same architecture, 64 wide and 2 layers deep."""

    name = "llama-text"
    on_request = True
    recipes = {
        "tiny": Recipe(epochs=1, batch_size=8, learning_rate=5e-3),
        "full": Recipe(epochs=4, batch_size=4, learning_rate=4e-4),
    }
    tolerances = {"tiny": 5.0, "full": 1.0}
    conditioning = 16.0
    keep_fp32 = FP32_MODULES
    numerics_rows = {"tiny": 8, "full": 1}
    reads_checkpoint = True
    long_training = True
    amp_must_beat = ("fp32", "tf32")
    eager_amp_must_beat = ("fp32", "tf32")
    hub_model = "TinyLlama/TinyLlama_v1.1"
    vocabulary = "llama"
    rows = {"tiny": {"train": 800, "test": 128}, "full": {"train": 512, "test": 64}}
    lengths = {"tiny": 32, "full": 2048}
    words = {"tiny": 512, "full": 32_000}

    def build_model(self) -> nn.Module:
        from mpcore.workloads.llama import Llama, llama, trimmed

        if self.checkpoint is None:
            return llama(vocab_size=self.embeddings, max_position_embeddings=self.length, **CONFIG[self.size])
        sizes: Any = {"vocab_size": (size(self.tokeniser), None), "max_position_embeddings": (self.length, None)}
        return trimmed(pretrained_model(Llama, self.checkpoint, "llama", **sizes))
