"""The vocabularies that a text is written in."""

from functools import partial

import pytest
from refused import one_sentence
from tokenizers.models import BPE

from mpcore.data import DataError
from mpcore.data.vocabulary import byte_level, byte_level_of, padded, size, word_level

refusal = partial(one_sentence, DataError)

TEXT = "the cat sat on the mat .\nthe naïve cat sat .\n" * 20


@pytest.mark.parametrize("words", [256, 260, 270])
def test_a_vocabulary_is_no_larger_than_asked_for(words):
    assert size(byte_level(TEXT, words)) == words


def test_what_is_frequent_becomes_one_word():
    assert len(byte_level(TEXT, 300).encode(" cat").ids) == 1


def test_a_vocabulary_is_the_same_each_time():
    assert byte_level(TEXT, 300).get_vocab() == byte_level(TEXT, 300).get_vocab()


def test_a_size_is_one_more_than_the_largest_id():
    assert size(word_level(["a", "b", "c"])) == 3


@pytest.mark.parametrize("whole", [True, False], ids=["tokenizer.json", "vocab.json and merges.txt"])
def test_a_saved_vocabulary_is_read(tmp_path, whole):
    tokeniser = byte_level(TEXT, 300)
    if whole:
        tokeniser.save(str(tmp_path / "tokenizer.json"))
    else:
        assert isinstance(tokeniser.model, BPE)
        tokeniser.model.save(str(tmp_path))
    assert byte_level_of(tmp_path).encode(TEXT).ids == tokeniser.encode(TEXT).ids


@pytest.mark.parametrize("names", [[], ["vocab.json"], ["merges.txt"]])
def test_a_folder_without_a_vocabulary_is_refused(tmp_path, names):
    for name in names:
        (tmp_path / name).write_text("{}")
    message = refusal(byte_level_of, tmp_path)
    assert message == f"no tokeniser in {str(tmp_path)!r}: expected tokenizer.json, or vocab.json and merges.txt"


@pytest.mark.parametrize("names", [["tokenizer.json"], ["vocab.json", "merges.txt"]])
def test_a_vocabulary_that_cannot_be_read_is_refused(tmp_path, names):
    for name in names:
        (tmp_path / name).write_text("{")
    assert refusal(byte_level_of, tmp_path).startswith(f"cannot read the tokeniser in {str(tmp_path)!r}: ")


@pytest.mark.parametrize(("words", "embeddings"), [(1, 64), (64, 64), (65, 128), (50_257, 50_304), (32_000, 32_000)])
def test_embeddings_are_the_next_multiple_of_64(words, embeddings):
    assert padded(words) == embeddings
