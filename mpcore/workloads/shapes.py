"""Steps of shapes that published speeds are measured on, with random inputs that are told to be learnt: for speed alone, and
only on request."""

from abc import abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mpcore.data import Batch, Split
from mpcore.data.vocabulary import padded
from mpcore.records import Recipe, Size
from mpcore.workloads.base import Workload, cross_entropy, workloads
from mpcore.workloads.gpt2_text import NO_DROPOUT, TINY, WORDS
from mpcore.workloads.llama_text import FP32_MODULES
from mpcore.workloads.next_token import NextToken

COUNTED = 16
"""Words that a decoder's sequences count through, over and over."""


class Shape(Workload):
    """Two batches of random inputs, in which there is something that a few steps learn."""

    synthetic = True
    tolerances = {"tiny": 100.0, "full": 100.0}
    amp_must_beat: ClassVar[tuple[str, ...]] = ("fp32", "tf32")
    eager_amp_must_beat: ClassVar[tuple[str, ...]] = ("fp32", "tf32")

    def with_batch_size(self, batch_size: int) -> Workload:
        """Its data are as many."""
        other = super().with_batch_size(batch_size)
        other._splits = {}
        return other

    def data(self, split: str) -> Split:
        generator = torch.Generator().manual_seed(0 if split == "train" else 1)
        return Split(self.drawn(2 * self.recipe.batch_size, generator))

    @abstractmethod
    def drawn(self, rows: int, generator: torch.Generator) -> dict[str, Tensor]:
        """The columns."""


class Bert(Shape):
    """BERT-base for classification, on sequences without padding; `tiny` is 64 wide and 2 layers deep."""

    version = 2
    unit = "sequences"
    classes = 2
    recipes = {
        "tiny": Recipe(epochs=1, batch_size=8, learning_rate=1e-3),
        "full": Recipe(epochs=1, batch_size=64, learning_rate=5e-5),
    }
    length: ClassVar[int]

    def build_model(self) -> nn.Module:
        from transformers import BertConfig, BertForSequenceClassification

        from mpcore.workloads.attention import UNMASKED

        narrow = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 256}
        config = BertConfig(num_labels=self.classes, **(narrow if self.size == "tiny" else {}))
        config._attn_implementation = UNMASKED  # private API
        return BertForSequenceClassification(config)

    def drawn(self, rows: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Every other token is the label's."""
        labels = torch.randint(self.classes, (rows,), generator=generator)
        length = self.length if self.size == "full" else self.length // 8
        tokens = torch.randint(1000, 30_000, (rows, length), generator=generator)
        tokens[:, ::2] = 1 + labels[:, None]
        return {"input_ids": tokens, "label": labels}

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return cross_entropy(self.logits(model, batch), batch["label"])

    def predict(self, model: nn.Module, batch: Batch) -> Tensor:
        return self.logits(model, batch).argmax(-1)

    def logits(self, model: nn.Module, batch: Batch) -> Tensor:
        return model(input_ids=batch["input_ids"]).logits


@workloads.register
class Bert128(Bert):
    name = "bert-s128"
    length = 128
    eager_amp_must_beat = ("fp32",)
    amp_not_faster_because = "64 sequences of 128 tokens are launch-bound in eager execution"


@workloads.register
class Bert512(Bert):
    name = "bert-s512"
    length = 512


class Decoder(NextToken, Shape):
    """Every other token counts on, from the one before the last; those between are random."""

    lengths: ClassVar[dict[Size, int]]
    words: ClassVar[dict[Size, int]]
    """Of the vocabulary."""

    @property
    def length(self) -> int:
        return self.lengths[self.size]

    def drawn(self, rows: int, generator: torch.Generator) -> dict[str, Tensor]:
        tokens = torch.randint(self.words[self.size], (rows, self.length + 1), generator=generator)
        tokens[:, ::2] = torch.arange(tokens[:, ::2].shape[1]) % COUNTED
        return {"input_ids": tokens}


@workloads.register
class Gpt2S1024(Decoder):
    """GPT-2 small without dropout on 64 sequences of 1,024 tokens, as llm.c trains it; `tiny` is 48 wide and 2 layers deep. A
    batch goes through in two parts, so that logits in FP32 fit in 80 GB beside what FP32 keeps for the backward pass."""

    name = "gpt2-s1024"
    recipes = {
        "tiny": Recipe(epochs=1, batch_size=8, learning_rate=5e-3, accumulation=2),
        "full": Recipe(epochs=1, batch_size=64, learning_rate=6e-4, accumulation=2),
    }
    conditioning = 16.0
    numerics_rows = {"tiny": 8, "full": 2}
    lengths = {"tiny": 64, "full": 1024}
    words = {"tiny": 512, "full": WORDS}

    def build_model(self) -> nn.Module:
        from mpcore.workloads.gpt2 import gpt2

        small: dict[str, Any] = TINY if self.size == "tiny" else {}
        return gpt2(padded(self.words[self.size]), self.length, **small, **NO_DROPOUT)


@workloads.register
class LlamaBlock(Decoder):
    """Two blocks of Llama 3 8B, between an embedding and a head of 2,048 words, on 8 sequences of 2,048 tokens. They are 4,096
    wide, so that FP8 has something to gain. `tiny` is 64 wide."""

    name = "llama-block"
    recipes = {
        "tiny": Recipe(epochs=1, batch_size=8, learning_rate=5e-3),
        "full": Recipe(epochs=1, batch_size=8, learning_rate=3e-4),
    }
    conditioning = 16.0
    keep_fp32 = FP32_MODULES
    numerics_rows = {"tiny": 8, "full": 1}
    lengths = {"tiny": 64, "full": 2048}
    words = {"tiny": 512, "full": 2048}
    config: ClassVar[dict[Size, dict[str, Any]]] = {
        "tiny": {"hidden_size": 64, "intermediate_size": 224, "num_attention_heads": 4, "num_key_value_heads": 1},
        "full": {"hidden_size": 4096, "intermediate_size": 14_336, "num_attention_heads": 32, "num_key_value_heads": 8},
    }

    def build_model(self) -> nn.Module:
        from mpcore.workloads.llama import llama

        sizes = self.config[self.size]
        return llama(vocab_size=self.words[self.size], num_hidden_layers=2, max_position_embeddings=self.length, **sizes)
