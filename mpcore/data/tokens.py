"""Vocabularies, and texts as token ids of one length, made once and cached."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from datasets import Dataset

from mpcore.data.generated.reviews import vocabulary
from mpcore.data.source import DataError
from mpcore.data.split import Split

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def embedded_tokeniser() -> "PreTrainedTokenizerBase":
    """Of the words of the generated reviews."""
    from transformers import BertTokenizer

    return BertTokenizer(vocab={word: i for i, word in enumerate([*SPECIAL, *vocabulary()])})


def wordpiece_tokeniser(path: Path, *, lower_case: bool) -> "PreTrainedTokenizerBase":
    """Of a file with one word a line. Raises DataError."""
    from transformers import BertTokenizer

    if not path.is_file():
        raise DataError(f"no file {str(path)!r}: expected the WordPiece vocabulary, one word a line")
    try:
        words = path.read_text(encoding="utf-8").rstrip("\n").split("\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text: expected the WordPiece vocabulary, one word a line") from error
    if missing := [token for token in SPECIAL if token not in words]:
        raise DataError(f"{path} has no {missing[0]}: expected a WordPiece vocabulary, one word a line")
    if len(set(words)) < len(words):
        raise DataError(f"{path} has a word twice: expected each once, for a word's line is its id")
    return BertTokenizer(vocab={word: i for i, word in enumerate(words)}, do_lower_case=lower_case)


def encoded(dataset: Dataset, tokeniser: "PreTrainedTokenizerBase", length: int) -> Split:
    """`input_ids` (int64) and `attention_mask` (bool), each (rows, `length`), and `label` (int64).

    Kept by `datasets` beside its own copy of a file, under a fingerprint of texts, vocabulary and length.
    """
    fingerprint = dataset._fingerprint  # private API
    recipe = f"{fingerprint} {sorted(tokeniser.get_vocab().items())} {tokeniser.backend_tokenizer.normalizer} {length}"

    def encode(batch: dict[str, list[str]]) -> dict[str, list[list[int]]]:
        return dict(
            tokeniser(batch["text"], truncation=True, padding="max_length", max_length=length, return_token_type_ids=False)
        )

    tokens = dataset.map(
        encode,
        batched=True,
        remove_columns=[c for c in dataset.column_names if c != "label"],
        new_fingerprint=hashlib.sha256(recipe.encode()).hexdigest()[:32],
    ).with_format("torch")[:]
    return Split(
        {
            "input_ids": tokens["input_ids"],
            "attention_mask": tokens["attention_mask"].to(torch.bool),
            "label": tokens["label"],
        }
    )
