"""`bert-imdb`: is a film review positive or negative? BERT fine-tuned on IMDb, 8,000 reviews to train and 2,000 to test,
as in S. Naik, "Turbocharging AI", part 2."""

import functools

import torch
from torch import Tensor, nn
from transformers import AutoConfig, BertConfig, BertForSequenceClassification, PreTrainedTokenizerBase
from transformers import logging as transformers_logging

from mpcore.data import Batch, DataError, Split
from mpcore.data.reviews import reviews
from mpcore.data.source import balanced, labelled
from mpcore.data.tokens import bert_tokeniser, checkpoint_folder, encoded
from mpcore.records import Recipe
from mpcore.registry import workloads
from mpcore.workloads.base import Workload, cross_entropy

ROWS = {"tiny": {"train": 1600, "test": 400}, "full": {"train": 8000, "test": 2000}}
LENGTH = {"tiny": 24, "full": 256}
TINY = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 256,
    "max_position_embeddings": 512,
    "hidden_dropout_prob": 0.0,  # a fifth of a step's time on a CPU
}


@workloads.register
class BertImdb(Workload):
    """`tiny` is the same architecture, 64 wide and 2 layers deep."""

    name = "bert-imdb"
    unit = "reviews"
    recipes = {
        "tiny": Recipe(epochs=4, batch_size=32, learning_rate=1.3e-3),
        "full": Recipe(epochs=2, batch_size=32, learning_rate=5e-5),
    }
    tolerances = {"tiny": 4.0, "full": 1.0}
    conditioning = 16.0
    hub_id = "stanfordnlp/imdb"
    hub_model = "google-bert/bert-base-uncased"

    @functools.cached_property
    def tokeniser(self) -> PreTrainedTokenizerBase:
        return bert_tokeniser(self.source, self.hub_model, self.checkpoint)

    def build_model(self) -> nn.Module:
        if self.checkpoint is not None:
            return self._pretrained(self.checkpoint)
        if self.size == "full":
            return BertForSequenceClassification(BertConfig(num_labels=2))
        return BertForSequenceClassification(BertConfig(num_labels=2, vocab_size=len(self.tokeniser), **TINY))

    def data(self, split: str) -> Split:
        rows = ROWS[self.size][split]
        seed = 0 if split == "train" else 1
        dataset, where = self.source.load("imdb", self.hub_id, split, lambda _: reviews(rows, seed, clauses=1))
        return encoded(balanced(labelled(dataset, where, "text", 2), rows, 2), self.tokeniser, LENGTH[self.size])

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return cross_entropy(self._logits(model, batch), batch["label"])

    def predict(self, model: nn.Module, batch: Batch) -> Tensor:
        return self._logits(model, batch).argmax(-1)

    def _logits(self, model: nn.Module, batch: Batch) -> Tensor:
        # Four dimensions: transformers takes such a mask as it is, where it would ask the device at every step
        # whether a mask of two is all ones.
        mask = batch["attention_mask"][:, None, None, :]
        return model(input_ids=batch["input_ids"], attention_mask=mask).logits

    def _pretrained(self, checkpoint: str) -> nn.Module:
        where = checkpoint_folder(checkpoint) or checkpoint
        verbosity = transformers_logging.get_verbosity()
        try:
            config = AutoConfig.from_pretrained(where, num_labels=2)
            if config.model_type != "bert":
                raise DataError(f"checkpoint {checkpoint!r} is a {config.model_type} model: {self.name} expects a bert encoder")
            transformers_logging.set_verbosity_error()  # the new classifier is meant to be missing from the checkpoint
            with torch.device("cpu"):
                return BertForSequenceClassification.from_pretrained(where, config=config, dtype=torch.float32)
        except (OSError, ValueError, RuntimeError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"cannot read checkpoint {checkpoint!r}: {' '.join(str(error).split())[:300]}") from error
        finally:
            transformers_logging.set_verbosity(verbosity)
