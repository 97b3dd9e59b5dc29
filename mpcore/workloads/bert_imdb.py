"""`bert-imdb` and `bert-imdb-1k`: is a film review positive or negative? BERT fine-tuned on IMDb."""

import functools
import math
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from mpcore.data import Batch, Split
from mpcore.data.generated.reviews import Style, reviews
from mpcore.data.source import EMBEDDED, balanced, labelled
from mpcore.data.tokens import embedded_tokeniser, encoded, wordpiece_tokeniser
from mpcore.records import Recipe, Size
from mpcore.workloads.base import Workload, cross_entropy, workloads
from mpcore.workloads.checkpoint import pretrained_model, pretrained_tokeniser
from mpcore.workloads.step_memory import StepMemory

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

AGREEMENT = {"train": (0.75, 1.0), "test": (0.5, 1.0)}
"""Of the clauses of a generated review in size full, with its label: clear ones to learn from, and mixed ones to tell."""
EMBEDDED_EPOCHS = 4
EMBEDDED_TOLERANCE = 1.5
"""Points, in size full."""
LENGTH = {"tiny": 20, "full": 256}
EIGHT = 8
"""Tokens, whose number tensor cores take best."""
TINY = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 512,
    "hidden_dropout_prob": 0.0,  # a fifth of a step's time on a CPU
}


def style(size: Size, split: str) -> Style:
    """Of generated reviews. From one clause that tells, or where some are negated, BERT-base learns nothing in a hundred steps
    from random weights."""
    if size == "tiny":
        return Style(neutral=1, telling=1, words=10)
    return Style(neutral=4, telling=24, negated=0.0, agreement=AGREEMENT[split], rareness=0.5)


@workloads.register
class BertImdb(Workload):
    """8,000 reviews to train and 2,000 to test, as in S. Naik, "Turbocharging AI", part 2. `tiny` is the same architecture,
    64 wide and 2 layers deep."""

    name = "bert-imdb"
    version = 3
    unit = "reviews"
    classes = 2
    recipes = {
        "tiny": Recipe(epochs=2, batch_size=32, learning_rate=2e-3),
        # BERT's own optimiser clips to 1, too (google-research/bert, optimization.py). Else a training from random weights may
        # fall back to chance, and scores of seeds differ twice as much.
        "full": Recipe(epochs=2, batch_size=32, learning_rate=5e-5, max_norm=1.0),
    }
    step_memory = StepMemory(fixed=1.64, per_sample=0.146)
    tolerances = {"tiny": 6.0, "full": 1.0}
    conditioning = 32.0
    reads_checkpoint = True
    amp_must_beat = ("fp32", "tf32")
    eager_amp_must_beat = ("fp32",)
    amp_not_faster_because = (
        "against TF32 a step of 8,192 tokens is launch-bound: eager autocast launches more kernels than a GPU of today "
        "takes time to run"
    )
    hub_id = "stanfordnlp/imdb"
    rows: ClassVar[dict[Size, dict[str, int]]] = {
        "tiny": {"train": 1600, "test": 400},
        "full": {"train": 8000, "test": 2000},
    }
    generated_rows: ClassVar[dict[Size, dict[str, int]]] = {
        "tiny": rows["tiny"],
        "full": {"train": 1600, "test": 4000},
    }
    """Where the reviews are embedded. Tests are cheap, and of few rows chance decides more than the mode does."""
    vocabulary: ClassVar[str] = "bert-base-uncased"
    vocabulary_size: ClassVar[int] = 30_522

    @property
    def recipe(self) -> Recipe:
        """On 1,600 generated reviews, 200 steps."""
        generated = self.source.where == EMBEDDED and self.checkpoint is None and self.size == "full"
        epochs = max(EMBEDDED_EPOCHS, super().recipe.epochs) if generated else super().recipe.epochs
        return super().recipe.model_copy(update={"epochs": epochs})

    @property
    def tolerance(self) -> float:
        """Where a folder or the hub has more rows, less may be lost."""
        easy = self.source.where != EMBEDDED or self.checkpoint is not None or self.size == "tiny"
        return super().tolerance if easy else max(EMBEDDED_TOLERANCE, super().tolerance)

    @functools.cached_property
    def tokeniser(self) -> "PreTrainedTokenizerBase":
        if self.checkpoint is not None:
            return pretrained_tokeniser(self.checkpoint)
        if self.source.where == EMBEDDED:
            return embedded_tokeniser()
        if self.source.folder is None:
            return pretrained_tokeniser(f"google-bert/{self.vocabulary}")
        path = self.source.folder / self.vocabulary / "vocab.txt"
        return wordpiece_tokeniser(path, lower_case=self.vocabulary.endswith("uncased"))

    def build_model(self) -> nn.Module:
        from transformers import BertConfig, BertForSequenceClassification

        if self.checkpoint is not None:
            sizes = {
                "vocab_size": (len(self.tokeniser), None),
                "max_position_embeddings": (LENGTH[self.size], None),
            }
            return pretrained_model(BertForSequenceClassification, self.checkpoint, "bert", self.classes, **sizes)
        if self.size == "full":
            config = BertConfig(num_labels=self.classes, vocab_size=self.vocabulary_size)
            return BertForSequenceClassification(config)
        return BertForSequenceClassification(BertConfig(num_labels=self.classes, vocab_size=len(self.tokeniser), **TINY))

    def data(self, split: str) -> Split:
        rows = (self.generated_rows if self.source.where == EMBEDDED else self.rows)[self.size][split]
        seed = 0 if split == "train" else 1
        dataset, where = self.source.load("imdb", self.hub_id, split, lambda _: reviews(rows, seed, style(self.size, split)))
        return encoded(
            balanced(labelled(dataset, where, "text", self.classes), rows, self.classes), self.tokeniser, LENGTH[self.size]
        )

    def training_split(self, name: str, device: torch.device) -> Split:
        """Up to the end of the longest review, in eights: generated ones end long before those that a step is timed on."""
        whole = self.split(name, device)
        longest = int(whole.columns["attention_mask"].sum(1).max())
        length = slice(EIGHT * math.ceil(longest / EIGHT))
        texts = {name: column[:, length].contiguous() for name, column in whole.columns.items() if column.dim() > 1}
        return Split(whole.columns | texts)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return cross_entropy(self._logits(model, batch), batch["label"])

    def predict(self, model: nn.Module, batch: Batch) -> Tensor:
        return self._logits(model, batch).argmax(-1)

    def _logits(self, model: nn.Module, batch: Batch) -> Tensor:
        # Four dimensions: transformers takes such a mask as it is, where it would ask the device at every step
        # whether a mask of two is all ones.
        mask = batch["attention_mask"][:, None, None, :]
        return model(input_ids=batch["input_ids"], attention_mask=mask).logits


@workloads.register
class BertImdb1k(BertImdb):
    """800 reviews to train and 200 to test, ten epochs in batches of 64, tested after each: the mixed-precision tutorial with
    BERT-base-cased."""

    name = "bert-imdb-1k"
    recipes = {
        "tiny": Recipe(epochs=6, batch_size=32, learning_rate=3e-3, test_each_epoch=True),
        "full": Recipe(epochs=10, batch_size=64, learning_rate=5e-5, max_norm=1.0, test_each_epoch=True),
    }
    tolerances = {"tiny": 10.0, "full": 3.0}
    numerics_rows = {"tiny": 16, "full": 16}
    long_training = True
    rows = generated_rows = {"tiny": {"train": 400, "test": 200}, "full": {"train": 800, "test": 200}}
    vocabulary = "bert-base-cased"
    vocabulary_size = 28_996
