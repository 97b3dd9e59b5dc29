"""Tokenisers, and texts as token ids of one length, made once and cached."""

import hashlib
from pathlib import Path

import torch
from datasets import Dataset
from transformers import AutoTokenizer, BertTokenizer, PreTrainedTokenizerBase

from mpcore.data.reviews import vocabulary
from mpcore.data.source import DataError, Source
from mpcore.data.split import Split

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def bert_tokeniser(source: Source, hub_id: str, checkpoint: str | None) -> PreTrainedTokenizerBase:
    """The checkpoint's own tokeniser; without one, that of the source. Raises DataError.

    Embedded reviews have a vocabulary of their own words; a folder holds `<model>/vocab.txt`.
    """
    if checkpoint is not None:
        return pretrained_tokeniser(checkpoint)
    if source.where == "embedded":
        return BertTokenizer(vocab={word: i for i, word in enumerate([*SPECIAL, *vocabulary()])})
    if source.folder is None:
        return pretrained_tokeniser(hub_id)
    path = source.folder / hub_id.split("/")[-1] / "vocab.txt"
    if not path.is_file():
        raise DataError(f"no file {str(path)!r}: expected the WordPiece vocabulary, one word a line")
    words = path.read_text(encoding="utf-8").splitlines()
    if missing := [token for token in SPECIAL if token not in words]:
        raise DataError(f"{path} has no {missing[0]}: expected a WordPiece vocabulary, one word a line")
    return BertTokenizer(vocab={word: i for i, word in enumerate(words)}, do_lower_case="uncased" in hub_id)


def pretrained_tokeniser(checkpoint: str) -> PreTrainedTokenizerBase:
    try:
        return AutoTokenizer.from_pretrained(checkpoint)
    except Exception as error:  # the hub's client and the tokenisers raise whatever they meet
        raise DataError(f"cannot read the tokeniser of {checkpoint!r}: {' '.join(str(error).split())[:300]}") from error


def encoded(dataset: Dataset, tokeniser: PreTrainedTokenizerBase, length: int) -> Split:
    """`input_ids` (int64) and `attention_mask` (bool), each (rows, `length`), and `label` (int64).

    Kept by `datasets` beside its own copy of a file, under a fingerprint of texts, vocabulary and length.
    """
    recipe = f"{dataset._fingerprint} {sorted(tokeniser.get_vocab().items())} {tokeniser.backend_tokenizer.normalizer} {length}"

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


def checkpoint_folder(checkpoint: str) -> Path | None:
    """The local folder that `checkpoint` means, or None for a hub id. Raises DataError for a path that is not there."""
    path = Path(checkpoint).expanduser()
    if path.is_dir():
        return path
    if path.is_absolute() or checkpoint.startswith((".", "~")) or checkpoint.count("/") > 1:
        raise DataError(f"no checkpoint folder {checkpoint!r}: expected a folder with config.json and weights, or a hub id")
    return None
