import pytest
import torch
from datasets import Dataset
from refused import one_sentence
from transformers import BertTokenizer

from mpcore.data import DataError
from mpcore.data.generated.reviews import Style, reviews, vocabulary
from mpcore.data.tokens import SPECIAL, embedded_tokeniser, encoded, wordpiece_tokeniser

pytestmark = pytest.mark.usefixtures("datasets_cache")

PAD, UNKNOWN, CLS, SEP = 0, 1, 2, 3


@pytest.fixture
def tokeniser():
    return embedded_tokeniser()


@pytest.fixture
def texts():
    return Dataset.from_dict({"text": ["the acting was superb", "the plot", "the zebra was dull"], "label": [1, 0, 0]})


@pytest.fixture
def vocab(tmp_path):
    """Writes a vocabulary file of the words that it is called with."""

    def vocab(*words, end="\n"):
        path = tmp_path / "vocab.txt"
        path.write_bytes("".join(f"{word}{end}" for word in words).encode())
        return path

    return vocab


@pytest.mark.parametrize("length", [4, 8])
def test_all_columns_are_of_one_length(tokeniser, texts, length):
    columns = encoded(texts, tokeniser, length).columns
    assert {name: (tuple(c.shape), c.dtype) for name, c in columns.items()} == {
        "input_ids": ((3, length), torch.int64),
        "attention_mask": ((3, length), torch.bool),
        "label": ((3,), torch.int64),
    }
    assert columns["label"].tolist() == [1, 0, 0]


def test_a_short_text_is_padded_and_masked(tokeniser, texts):
    batch = encoded(texts, tokeniser, 6).rows(slice(1, 2))
    words = {word: i for i, word in enumerate([*SPECIAL, *vocabulary()])}
    assert batch["input_ids"].tolist() == [[CLS, words["the"], words["plot"], SEP, PAD, PAD]]
    assert batch["attention_mask"].tolist() == [[True] * 4 + [False] * 2]


def test_a_long_text_is_cut_before_its_end_mark(tokeniser, texts):
    ids = encoded(texts, tokeniser, 4).columns["input_ids"]
    assert ids[0, 0] == CLS
    assert ids[0, -1] == SEP


def test_a_word_that_is_not_known_becomes_one_token(tokeniser, texts):
    ids = encoded(texts, tokeniser, 8).columns["input_ids"]
    assert (ids == UNKNOWN).sum(1).tolist() == [0, 0, 1]


def test_embedded_reviews_hold_no_unknown_word(tokeniser):
    assert UNKNOWN not in encoded(reviews(200, 0, Style(neutral=2, telling=1)), tokeniser, 40).columns["input_ids"]


def test_other_columns_are_left_behind(tokeniser, texts):
    assert encoded(texts.add_column("stars", [5, 3, 1]), tokeniser, 4).columns.keys() == {
        "input_ids",
        "attention_mask",
        "label",
    }


def test_the_embedded_vocabulary_is_the_special_tokens_and_the_words_of_the_reviews(tokeniser):
    assert tokeniser.get_vocab() == {word: i for i, word in enumerate([*SPECIAL, *vocabulary()])}


def test_a_vocabulary_file_holds_words_and_their_pieces(vocab):
    tokeniser = wordpiece_tokeniser(vocab(*SPECIAL, "the", "act", "##ing"), lower_case=True)
    assert len(tokeniser) == len(SPECIAL) + 3
    text = Dataset.from_dict({"text": ["The ACTING"], "label": [0]})
    assert encoded(text, tokeniser, 5).columns["input_ids"].tolist() == [[CLS, 5, 6, 7, SEP]]


@pytest.mark.parametrize(("lower_case", "ids"), [(True, [5, 5]), (False, [6, 5])])
def test_the_case_is_kept_where_it_is_asked_for(vocab, lower_case, ids):
    tokeniser = wordpiece_tokeniser(vocab(*SPECIAL, "the", "The"), lower_case=lower_case)
    assert tokeniser.convert_tokens_to_ids(tokeniser.tokenize("The the")) == ids


def test_a_vocabulary_file_may_have_line_ends_of_windows(vocab):
    words = [*SPECIAL, "the"]
    tokeniser = wordpiece_tokeniser(vocab(*words, end="\r\n"), lower_case=True)
    assert tokeniser.get_vocab() == {word: i for i, word in enumerate(words)}


@pytest.mark.parametrize("word", ["\x85", "\u2028", "a\x0cb"])
def test_only_a_line_feed_ends_a_line_of_a_vocabulary_file(vocab, word):
    words = [*SPECIAL, word, "the"]
    tokeniser = wordpiece_tokeniser(vocab(*words), lower_case=True)
    assert tokeniser.get_vocab() == {word: i for i, word in enumerate(words)}


def refusal(path):
    """The message with which a vocabulary is refused, which is to be one line that names it."""
    message = one_sentence(DataError, wordpiece_tokeniser, path, lower_case=True)
    assert str(path) in message
    return message


def test_a_missing_vocabulary_is_named(tmp_path):
    assert "expected the WordPiece vocabulary, one word a line" in refusal(tmp_path / "vocab.txt")


def test_a_folder_in_place_of_a_vocabulary_is_refused(tmp_path):
    assert "expected the WordPiece vocabulary, one word a line" in refusal(tmp_path)


@pytest.mark.parametrize("missing", SPECIAL)
def test_a_vocabulary_without_a_special_token_is_refused(vocab, missing):
    path = vocab(*(token for token in SPECIAL if token != missing), "the")
    assert f"vocab.txt has no {missing}: expected a WordPiece vocabulary" in refusal(path)


def test_a_vocabulary_that_is_no_text_is_refused(vocab):
    path = vocab(*SPECIAL)
    path.write_bytes(b"\xff\xfe\x81")
    assert "vocab.txt is not UTF-8 text: expected the WordPiece vocabulary, one word a line" in refusal(path)


@pytest.mark.parametrize(
    "words",
    [["the", "plot", "the"], ["the", "the", "plot", "plot"], ["[PAD]"]],
    ids=["one", "two", "special token"],
)
def test_a_vocabulary_with_a_word_twice_is_refused(vocab, words):
    path = vocab(*SPECIAL, *words)
    assert refusal(path) == f"{path} has a word twice: expected each once, for a word's line is its id"


class Counted(BertTokenizer):
    """Counts how often it is run, over all copies: what is mapped is pickled."""

    runs = 0

    def __call__(self, *arguments, **options):
        Counted.runs += 1
        return super().__call__(*arguments, **options)


@pytest.fixture
def from_file(tmp_path, texts):
    texts.to_parquet(tmp_path / "train.parquet")
    return lambda: Dataset.from_parquet(str(tmp_path / "train.parquet"))


def counted(*words):
    return Counted(vocab={word: i for i, word in enumerate([*SPECIAL, *words])})


def runs(dataset, tokeniser, length):
    before = Counted.runs
    encoded(dataset, tokeniser, length)
    return Counted.runs - before


def test_a_file_is_tokenised_once(from_file):
    assert runs(from_file(), counted("the"), 8) == 1
    assert runs(from_file(), counted("the"), 8) == 0


@pytest.mark.parametrize(("words", "length"), [(["the"], 9), (["plot"], 8)], ids=["length", "vocabulary"])
def test_a_file_is_tokenised_anew_for_another_recipe(from_file, words, length):
    runs(from_file(), counted("the"), 8)
    assert runs(from_file(), counted(*words), length) == 1


def test_a_file_that_has_changed_is_tokenised_anew(from_file, tmp_path):
    runs(from_file(), counted("the"), 8)
    Dataset.from_dict({"text": ["the other text"], "label": [0]}).to_parquet(tmp_path / "train.parquet")
    assert runs(from_file(), counted("the"), 8) == 1


def test_what_was_kept_is_what_was_made(from_file, tokeniser):
    first, second = (encoded(from_file(), tokeniser, 8).columns for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
