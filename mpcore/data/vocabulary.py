"""The vocabularies that a text is written in."""

from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.models import BPE, WordLevel
from tokenizers.pre_tokenizers import ByteLevel, WhitespaceSplit
from tokenizers.trainers import BpeTrainer

from mpcore.data.source import DataError

MULTIPLE = 64
"""Matrix units take a side of a product whole where it is a multiple of this, in every format that there is."""


def size(tokeniser: Tokenizer) -> int:
    """How many embeddings its ids ask for: one more than the largest."""
    return max(tokeniser.get_vocab().values()) + 1


def padded(words: int) -> int:
    """As many embeddings as give fast products: the next multiple of 64. Those beyond the vocabulary are never read and never a
    target, so that a model learns not to predict them. nanoGPT and llm.c do the same."""
    return -(-words // MULTIPLE) * MULTIPLE


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
