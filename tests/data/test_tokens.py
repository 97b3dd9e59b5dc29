import datasets
import pytest
import torch
from datasets import Dataset
from transformers import BertTokenizer

from mpcore.data import DataError, Source
from mpcore.data.reviews import reviews, vocabulary
from mpcore.data.tokens import SPECIAL, bert_tokeniser, checkpoint_folder, encoded

PAD, UNKNOWN, CLS, SEP = 0, 1, 2, 3
HUB_ID = "google-bert/bert-base-uncased"


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    """What `datasets` makes of a file goes with the test."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))


@pytest.fixture
def tokeniser():
    return bert_tokeniser(Source(), HUB_ID, None)


@pytest.fixture
def texts():
    return Dataset.from_dict({"text": ["the acting was superb", "the plot", "the zebra was dull"], "label": [1, 0, 0]})


@pytest.fixture
def vocab(tmp_path):
    """A folder with a vocabulary file of the words that it is called with."""

    def vocab(*words):
        path = tmp_path / "bert-base-uncased" / "vocab.txt"
        path.parent.mkdir()
        path.write_text("".join(f"{word}\n" for word in words))
        return Source(str(tmp_path))

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
    assert UNKNOWN not in encoded(reviews(200, 0, clauses=2), tokeniser, 40).columns["input_ids"]


def test_other_columns_are_left_behind(tokeniser, texts):
    assert encoded(texts.add_column("stars", [5, 3, 1]), tokeniser, 4).columns.keys() == {
        "input_ids",
        "attention_mask",
        "label",
    }


def test_a_folder_has_its_own_vocabulary(vocab, texts):
    tokeniser = bert_tokeniser(vocab(*SPECIAL, "the", "act", "##ing"), HUB_ID, None)
    assert len(tokeniser) == len(SPECIAL) + 3
    text = Dataset.from_dict({"text": ["The ACTING"], "label": [0]})  # it is an uncased model's
    assert encoded(text, tokeniser, 5).columns["input_ids"].tolist() == [[CLS, 5, 6, 7, SEP]]


def test_a_cased_model_keeps_the_case(tmp_path, vocab):
    source = vocab(*SPECIAL, "the", "The")
    (tmp_path / "bert-base-uncased").rename(tmp_path / "bert-base-cased")
    tokeniser = bert_tokeniser(source, "google-bert/bert-base-cased", None)
    assert tokeniser.convert_tokens_to_ids(tokeniser.tokenize("The the")) == [6, 5]


def test_a_missing_vocabulary_is_named(tmp_path):
    with pytest.raises(DataError, match="expected the WordPiece vocabulary, one word a line") as caught:
        bert_tokeniser(Source(str(tmp_path)), HUB_ID, None)
    assert str(tmp_path / "bert-base-uncased" / "vocab.txt") in str(caught.value)


@pytest.mark.parametrize("missing", SPECIAL)
def test_a_vocabulary_without_a_special_token_is_refused(vocab, missing):
    source = vocab(*(token for token in SPECIAL if token != missing), "the")
    with pytest.raises(DataError) as caught:
        bert_tokeniser(source, HUB_ID, None)
    assert f"vocab.txt has no {missing}: expected a WordPiece vocabulary" in str(caught.value)


@pytest.mark.xfail(strict=True, raises=UnicodeDecodeError, reason="a file that is no UTF-8 is not foreseen")
def test_a_vocabulary_that_is_no_text_is_refused(vocab):
    source = vocab(*SPECIAL)
    (source.folder / "bert-base-uncased" / "vocab.txt").write_bytes(b"\xff\xfe\x81")
    with pytest.raises(DataError, match=r"vocab\.txt"):
        bert_tokeniser(source, HUB_ID, None)


def test_a_checkpoint_brings_its_own_tokeniser(tmp_path):
    BertTokenizer(vocab={word: i for i, word in enumerate([*SPECIAL, "zebra"])}).save_pretrained(tmp_path)
    assert "zebra" in bert_tokeniser(Source(), HUB_ID, str(tmp_path)).get_vocab()


def test_a_checkpoint_without_a_tokeniser_is_refused(tmp_path):
    with pytest.raises(DataError, match="cannot read the tokeniser of") as caught:
        bert_tokeniser(Source(), HUB_ID, str(tmp_path))
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


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


def test_a_folder_that_is_there_is_a_checkpoint_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights").mkdir()
    assert checkpoint_folder(str(tmp_path)) == tmp_path
    assert checkpoint_folder("weights").resolve() == tmp_path / "weights"


@pytest.mark.parametrize("checkpoint", ["/no/such/folder", "./weights", "~/no-such-folder", "a/b/c"])
def test_a_path_that_is_not_there_is_refused(checkpoint):
    with pytest.raises(DataError, match=r"expected a folder with config\.json and weights, or a hub id") as caught:
        checkpoint_folder(checkpoint)
    assert repr(checkpoint) in str(caught.value)


@pytest.mark.parametrize("checkpoint", ["some-model", "somebody/some-model"])
def test_anything_else_is_a_hub_id(checkpoint):
    assert checkpoint_folder(checkpoint) is None
