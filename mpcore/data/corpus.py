"""A text as token ids, cut into sequences, and the vocabularies that it is written in."""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import torch
from datasets import Dataset
from tokenizers import Tokenizer
from tokenizers.models import BPE, WordLevel
from tokenizers.pre_tokenizers import ByteLevel, WhitespaceSplit
from tokenizers.trainers import BpeTrainer

from mpcore.data.source import DataError
from mpcore.data.split import Split


def beginning(dataset: Dataset, where: str, characters: int) -> str:
    """The first `characters` of the rows of the column `text`, a line end after each. Raises DataError."""
    if "text" not in dataset.column_names:
        raise DataError(f"{where} has no column 'text': found {dataset.column_names}")
    if getattr(kind := dataset.features["text"], "dtype", None) not in ("string", "large_string"):
        raise DataError(f"{where}: column 'text' holds {kind}, expected texts")
    parts, left = [], characters
    for row, text in enumerate(chain.from_iterable(batch["text"] for batch in dataset.iter(1000))):
        if text is None:
            raise DataError(f"{where}, row {row}: no text")
        parts.append((text if text.endswith("\n") else f"{text}\n")[:left])
        left -= len(parts[-1])
        if not left:
            break
    return "".join(parts)


def sequences(text: str, where: str, tokeniser: Tokenizer, length: int, rows: int, least: int) -> Split:
    """`input_ids` (int64), (at most `rows`, `length` + 1): what a row ends with is what the next begins with, so that each
    token but the first is once to be predicted. Raises DataError where there are fewer than `least` rows.

    Lines are encoded each by itself: by all cores, and without the memory that a long text in one piece takes.
    """
    lines = tokeniser.encode_batch_fast(text.splitlines(keepends=True), add_special_tokens=False)
    ids = torch.tensor([number for line in lines for number in line.ids])
    whole = min(rows, (len(ids) - 1) // length)
    if whole < least:
        wanted = f"{least} sequence{'s' * (least > 1)} of {length}"
        raise DataError(f"{where} has {len(ids)} tokens: expected {least * length + 1} or more, for {wanted}")
    return Split({"input_ids": ids[: whole * length + 1].unfold(0, length + 1, length).contiguous()})


def size(tokeniser: Tokenizer) -> int:
    """How many embeddings its ids ask for: one more than the largest."""
    return max(tokeniser.get_vocab().values()) + 1


def word_level(words: Sequence[str]) -> Tokenizer:
    """Of a text that has no other words, divided by white space."""
    tokeniser = Tokenizer(WordLevel({word: i for i, word in enumerate(words)}))
    tokeniser.pre_tokenizer = WhitespaceSplit()
    return tokeniser


def byte_level(text: str, words: int) -> Tokenizer:
    """Byte-pair encoding as of GPT-2, of at most `words` words (256 are bytes), from what is frequent in `text`."""
    tokeniser = Tokenizer(BPE())
    tokeniser.pre_tokenizer = ByteLevel(add_prefix_space=False)
    trainer = BpeTrainer(vocab_size=words, initial_alphabet=ByteLevel.alphabet(), show_progress=False)
    tokeniser.train_from_iterator(text.splitlines(keepends=True), trainer)
    return tokeniser


def byte_level_of(folder: Path) -> Tokenizer:
    """The one saved there as `tokenizer.json`, or as `vocab.json` with `merges.txt`. Raises DataError."""
    whole, vocabulary, merges = (folder / name for name in ("tokenizer.json", "vocab.json", "merges.txt"))
    if not whole.is_file() and not (vocabulary.is_file() and merges.is_file()):
        raise DataError(f"no tokeniser in {str(folder)!r}: expected tokenizer.json, or vocab.json and merges.txt")
    try:
        if whole.is_file():
            return Tokenizer.from_file(str(whole))
        tokeniser = Tokenizer(BPE.from_file(str(vocabulary), str(merges)))
    except Exception as error:  # tokenizers raises no narrower class
        raise DataError(f"cannot read the tokeniser in {str(folder)!r}: {' '.join(str(error).split())[:300]}") from error
    tokeniser.pre_tokenizer = ByteLevel(add_prefix_space=False)
    return tokeniser
