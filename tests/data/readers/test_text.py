"""A text, and its token ids cut into sequences."""

from functools import partial

import pytest
import torch
from datasets import Dataset, Value
from refused import one_sentence

from mpcore.data import DataError
from mpcore.data.readers.text import beginning, sequences
from mpcore.data.vocabulary import byte_level, word_level

refusal = partial(one_sentence, DataError)

TEXT = "the cat sat on the mat .\nthe naïve cat sat .\n" * 20


@pytest.fixture(scope="module")
def digits():
    return word_level("0123456789")


def rows(*texts):
    return Dataset.from_dict({"text": list(texts)})


def cut(digits, count, *, length=3, most=100, least=1):
    return sequences(" ".join("0123456789"[i % 10] for i in range(count)), "here", digits, length, most, least)


def test_each_row_ends_with_one_line_end():
    assert beginning(rows("one", "two\n", "", "three\n"), "here", 100) == "one\ntwo\n\nthree\n"


@pytest.mark.parametrize("characters", [1, 3, 4, 5, 8])
def test_a_text_is_read_no_further_than_asked(characters):
    assert beginning(rows("one", "two"), "here", characters) == "one\ntwo\n"[:characters]


def test_long_texts_are_texts():
    assert beginning(rows("one").cast_column("text", Value("large_string")), "here", 9) == "one\n"


def test_another_column_is_refused():
    message = refusal(beginning, Dataset.from_dict({"story": ["one"]}), "here.parquet", 9)
    assert message == "here.parquet has no column 'text': found ['story']"


@pytest.mark.parametrize(("values", "kind"), [([1], "Value('int64')"), ([["one"]], "List(Value('string'))")])
def test_a_column_of_something_else_is_refused(values, kind):
    message = refusal(beginning, Dataset.from_dict({"text": values}), "here.parquet", 9)
    assert message == f"here.parquet: column 'text' holds {kind}, expected texts"


def test_a_row_without_text_is_named():
    assert refusal(beginning, rows("one", None), "here.parquet", 9) == "here.parquet, row 1: no text"


def test_a_row_ends_with_what_the_next_begins_with(digits):
    ids = cut(digits, 10).columns["input_ids"]
    assert ids.dtype == torch.int64
    assert ids.tolist() == [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9]]


@pytest.mark.parametrize(("count", "whole"), [(4, 1), (6, 1), (7, 2), (9, 2), (10, 3)])
def test_what_is_left_at_the_end_is_dropped(digits, count, whole):
    assert len(cut(digits, count)) == whole


def test_there_are_no_more_rows_than_asked_for(digits):
    assert cut(digits, 100, most=2).columns["input_ids"].tolist() == [[0, 1, 2, 3], [3, 4, 5, 6]]


def test_lines_are_one_stream(digits):
    ids = sequences("0 1\n2\n\n3 4\n", "here", digits, 4, 9, 1).columns["input_ids"]
    assert ids.tolist() == [[0, 1, 2, 3, 4]]


@pytest.mark.parametrize("count", [0, 1, 3, 6])
def test_a_text_that_is_too_short_is_refused_with_what_it_takes(digits, count):
    message = refusal(lambda: cut(digits, count, least=2))
    assert message == f"here has {count} tokens: expected 7 or more, for 2 sequences of 3"


@pytest.mark.parametrize("text", ["the naïve cat", "日本語 \x00\x85\u2028\n", "  two  spaces\r\n"])
def test_bytes_write_every_text(text):
    tokeniser = byte_level(TEXT, 300)
    ids = sequences(text * 2, "here", tokeniser, 1, 1000, 1).columns["input_ids"]
    alphabet = {c: b for b, c in bytes_to_characters().items()}
    pieces = [tokeniser.id_to_token(i) for i in [*ids[:, 0].tolist(), ids[-1, 1].item()]]
    assert bytes(alphabet[c] for piece in pieces for c in piece).decode() == text * 2


def bytes_to_characters():
    """GPT-2's: bytes that print stand for themselves, the others in order for the characters from 256."""
    printed = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printed]
    return {b: chr(b) for b in printed} | {b: chr(256 + n) for n, b in enumerate(others)}
