"""The text that decoders are trained on from scratch, in sequences of one length."""

import functools
from typing import ClassVar

from datasets import Dataset
from tokenizers import Tokenizer
from torch import Tensor

from mpcore.data import DataError, Split
from mpcore.data.generated.stories import stories, vocabulary
from mpcore.data.readers.text import beginning, sequences
from mpcore.data.source import EMBEDDED
from mpcore.data.vocabulary import byte_level, byte_level_of, padded, size, word_level
from mpcore.records import Size
from mpcore.workloads.checkpoint import pretrained_tokeniser
from mpcore.workloads.next_token import NextToken

CHARACTERS = 8
"""Read for each token that is wanted, so that a long text is not read to its end: English has between 4 and 5."""


class Text(NextToken):
    """A folder holds `text/train.txt` or `text/train.parquet` (a column `text`) and the same for `test`. Without a test the
    last tenth of the training text is held out. Its vocabulary is that in a folder beside them, or else made from the training
    text.
    """

    hub_id = "Salesforce/wikitext/wikitext-2-raw-v1"
    hub_model: ClassVar[str]
    """Whose vocabulary is taken where the text comes from the hub."""
    vocabulary: ClassVar[str]
    """The folder of the vocabulary, beside the text's."""
    rows: ClassVar[dict[Size, dict[str, int]]]
    lengths: ClassVar[dict[Size, int]]
    words: ClassVar[dict[Size, int]]
    """Of a vocabulary made from the training text, at most; the full model has as many embeddings, whatever the text needs."""

    @property
    def length(self) -> int:
        return self.lengths[self.size]

    @property
    def embeddings(self) -> int:
        """Of a model that starts from random weights. Padding a tiny vocabulary would add a third to it."""
        return padded(self.words["full"]) if self.size == "full" else size(self.tokeniser)

    @functools.cached_property
    def tokeniser(self) -> Tokenizer:
        """Raises DataError, also where it has more words than the full model."""
        tokeniser = self._tokeniser()
        if self.checkpoint is None and self.size == "full" and (words := size(tokeniser)) > (most := self.words["full"]):
            raise DataError(f"the tokeniser of {self.source.where!r} has {words} words: expected {most} at most")
        return tokeniser

    def _tokeniser(self) -> Tokenizer:
        if self.checkpoint is not None:
            return pretrained_tokeniser(self.checkpoint).backend_tokenizer
        if self.source.where == EMBEDDED:
            return word_level(vocabulary())
        if self.source.folder is None:
            return pretrained_tokeniser(self.hub_model).backend_tokenizer
        saved = self.source.folder / self.vocabulary
        return byte_level_of(saved) if saved.is_dir() else byte_level(self._text("train")[0], self.words[self.size])

    def data(self, split: str) -> Split:
        text, where = self._text(split)
        least = 2 * self.recipes[self.size].batch_size if split == "train" else 1
        return sequences(text, where, self.tokeniser, self.length, self.rows[self.size][split], least)

    def dummy_prediction(self, train: Split, test: Split) -> Tensor:
        """By how often a token is in the training text, one added to each."""
        counts = train.columns["input_ids"][:, 1:].flatten().bincount(minlength=size(self.tokeniser)) + 1.0
        return -(counts / counts.sum()).log()[test.columns["input_ids"][:, 1:]].mean(1)

    def _text(self, split: str) -> tuple[str, str]:
        """The text of the split and, for messages, where it came from. Raises DataError."""
        held_out = self._test_is_held_out()
        kept = "train" if held_out else split
        dataset, where = self.source.load("text", self.hub_id, kept, self._stories, (f"{kept}.parquet", f"{kept}.txt"))
        rows = sum(self.rows[self.size].values()) if held_out else self.rows[self.size][split]
        text = beginning(dataset, where, CHARACTERS * rows * self.length)
        if not held_out:
            return text, where
        cut = len(text) * 9 // 10
        parts = {
            "train": (text[:cut], f"all but the last tenth of {where}"),
            "test": (text[cut:], f"the last tenth of {where}"),
        }
        return parts[split]

    def _stories(self, split: str) -> Dataset:
        words = self.rows[self.size][split] * self.length + 1
        return Dataset.from_dict({"text": stories(words, 0 if split == "train" else 1)})

    def _test_is_held_out(self) -> bool:
        folder = self.source.folder
        return folder is not None and not any((folder / "text" / f"test.{kind}").is_file() for kind in ("parquet", "txt"))
