"""A text, and its token ids cut into sequences."""

from itertools import chain

import torch
from datasets import Dataset
from tokenizers import Tokenizer

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
    """`input_ids` (int64), (at most `rows`, `length` + 1). A row begins with what the one before ends with, so that each token
    but the first is once to be predicted. Raises DataError where there are fewer than `least` rows.

    Lines are encoded each by itself: by all cores, and without the memory that a long text in one piece takes.
    """
    lines = tokeniser.encode_batch_fast(text.splitlines(keepends=True), add_special_tokens=False)
    ids = torch.tensor([number for line in lines for number in line.ids])
    whole = min(rows, (len(ids) - 1) // length)
    if whole < least:
        wanted = f"{least} sequence{'s' * (least > 1)} of {length}"
        raise DataError(f"{where} has {len(ids)} tokens: expected {least * length + 1} or more, for {wanted}")
    return Split({"input_ids": ids[: whole * length + 1].unfold(0, length + 1, length).contiguous()})
