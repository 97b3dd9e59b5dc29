"""Steps of shapes that published speeds are measured on, with random inputs that tell their labels: for speed alone, and only
on request."""

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn
from transformers import BertConfig, BertForSequenceClassification

from mpcore.data import Batch, Split
from mpcore.records import Recipe
from mpcore.workloads.attention import UNMASKED
from mpcore.workloads.base import Workload, cross_entropy, workloads


class Shape(Workload):
    """Two batches of random labels, and of inputs in which they are told so often that a few steps learn them."""

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
        rows = 2 * self.recipe.batch_size
        labels = torch.randint(self.classes, (rows,), generator=generator)
        return Split(self.inputs(labels, generator) | {"label": labels})

    @abstractmethod
    def inputs(self, labels: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """What the model is called with, by name, a row for each of `labels`."""

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return cross_entropy(self.logits(model, batch), batch["label"])

    def predict(self, model: nn.Module, batch: Batch) -> Tensor:
        return self.logits(model, batch).argmax(-1)

    def logits(self, model: nn.Module, batch: Batch) -> Tensor:
        inputs = {name: column for name, column in batch.items() if name != "label"}
        return model(**inputs).logits


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
        narrow = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 256}
        config = BertConfig(num_labels=self.classes, **(narrow if self.size == "tiny" else {}))
        config._attn_implementation = UNMASKED  # private API
        return BertForSequenceClassification(config)

    def inputs(self, labels: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Every other token is the label's."""
        length = self.length if self.size == "full" else self.length // 8
        tokens = torch.randint(1000, 30_000, (len(labels), length), generator=generator)
        tokens[:, ::2] = 1 + labels[:, None]
        return {"input_ids": tokens}


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
