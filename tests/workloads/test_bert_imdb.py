import copy
import json
import shutil

import pytest
import torch
from datasets import Dataset
from transformers import BertConfig, BertForSequenceClassification

from mpcore.data import DataError, Source
from mpcore.data.tokens import SPECIAL
from mpcore.measure import Bench
from mpcore.workloads.bert_imdb import BertImdb, BertImdb1k
from mpcore.workloads.resnet18_mnist import ResNet18Mnist

pytestmark = pytest.mark.usefixtures("datasets_cache")


@pytest.fixture(scope="module")
def workload():
    return BertImdb("tiny")


@pytest.fixture(scope="module")
def splits(workload):
    return {name: workload.data(name) for name in ("train", "test")}


@pytest.fixture(scope="module")
def batch(splits):
    return next(splits["test"].batches(8))


@pytest.fixture(scope="module")
def saved(workload, tmp_path_factory):
    """A checkpoint of the tiny model, and the model."""
    folder = tmp_path_factory.mktemp("checkpoint")
    model = workload.build_model()
    model.save_pretrained(folder)
    workload.tokeniser.save_pretrained(folder)
    return folder, model


def part(workload):
    return {"model": workload.build_model, "tokeniser": lambda: workload.tokeniser}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "imdb").mkdir()
    (tmp_path / "bert-base-uncased").mkdir()
    (tmp_path / "bert-base-uncased" / "vocab.txt").write_text("\n".join([*SPECIAL, "good", "bad"]))
    for split, rows in (("train", 6), ("test", 4)):
        texts = {"text": ["good", "bad"] * (rows // 2), "label": [1, 0] * (rows // 2)}
        Dataset.from_dict(texts).to_parquet(tmp_path / "imdb" / f"{split}.parquet")
    return tmp_path


def equal(one, other):
    one, other = one.state_dict(), other.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def seeded(workload, seed):
    torch.manual_seed(seed)
    return workload.build_model()


@pytest.mark.parametrize(("split", "rows"), [("train", 1600), ("test", 400)])
def test_data_are_balanced_reviews_of_one_length(splits, split, rows):
    columns = splits[split].columns
    assert columns["input_ids"].shape == columns["attention_mask"].shape == (rows, 20)
    assert columns["attention_mask"].dtype == torch.bool
    assert columns["label"].bincount().tolist() == [rows // 2, rows // 2]


def test_ids_are_within_the_embedding(workload, splits):
    assert splits["train"].columns["input_ids"].max() < workload.build_model().config.vocab_size


def test_the_loss_is_one_finite_number(workload, batch):
    loss = workload.loss(workload.build_model(), batch)
    assert loss.shape == ()
    assert loss.isfinite()
    assert loss.requires_grad


def test_each_review_gets_a_class(workload, batch):
    predicted = workload.predict(workload.build_model(), batch)
    assert predicted.shape == (8,)
    assert set(predicted.tolist()) <= {0, 1}


def test_padding_changes_nothing(workload, batch):
    model = workload.build_model().eval()
    longest = int(batch["attention_mask"].sum(1).max())
    cut = {**batch, "input_ids": batch["input_ids"][:, :longest], "attention_mask": batch["attention_mask"][:, :longest]}
    assert longest < batch["input_ids"].shape[1]
    assert workload.loss(model, cut).item() == pytest.approx(workload.loss(model, batch).item(), rel=1e-5)


def test_training_leaves_out_what_is_padding_in_all_reviews(folder, cpu):
    """Words of a folder's reviews are few: "good", between two special ones."""
    short = BertImdb("tiny", Source(str(folder)))
    short.rows = {"tiny": {"train": 6, "test": 4}}
    whole, cut = (split("train", cpu).columns for split in (short.split, short.training_split))
    assert (whole["input_ids"].shape, cut["input_ids"].shape, cut["attention_mask"].shape) == ((6, 20), (6, 8), (6, 8))
    assert torch.equal(whole["input_ids"][:, :8], cut["input_ids"])
    assert not whole["attention_mask"][:, 8:].any()
    assert torch.equal(whole["label"], cut["label"])


def test_generated_reviews_of_size_full_end_long_before_those_that_a_step_is_timed_on(cpu):
    full = BertImdb("full")
    lengths = {name: split.columns["input_ids"].shape[1] for name, split in Bench(cpu).setups.splits(full).items()}
    assert lengths == {"train": 168, "test": 168}


def test_the_seed_decides_the_weights(workload):
    assert equal(seeded(workload, 3), seeded(workload, 3))
    assert not equal(seeded(workload, 3), seeded(workload, 4))


def test_it_is_trained_on_a_folder(folder):
    workload = BertImdb("tiny", Source(str(folder)))
    train, test = workload.data("train"), workload.data("test")
    assert (len(train), len(test)) == (6, 4)
    assert train.columns["input_ids"][:2, :3].tolist() == [[2, 5, 3], [2, 6, 3]]
    assert workload.loss(workload.build_model(), next(test.batches(4))).isfinite()


def test_a_folder_without_a_vocabulary_is_refused_with_the_file(folder):
    path = folder / "bert-base-uncased" / "vocab.txt"
    path.unlink()
    with pytest.raises(DataError, match="expected the WordPiece vocabulary") as caught:
        BertImdb("tiny", Source(str(folder))).data("train")
    assert str(path) in str(caught.value)


def test_the_vocabulary_of_a_folder_is_of_lower_case(folder):
    assert BertImdb("tiny", Source(str(folder))).tokeniser.tokenize("GOOD Bad") == ["good", "bad"]


def test_a_folder_with_a_wrong_label_is_refused_with_the_file(folder):
    path = folder / "imdb" / "train.parquet"
    Dataset.from_dict({"text": ["good", "bad"], "label": [0, 2]}).to_parquet(path)
    with pytest.raises(DataError, match="row 1: label 2 is not a whole number from 0 to 1") as caught:
        BertImdb("tiny", Source(str(folder))).data("train")
    assert str(path) in str(caught.value)


def test_a_saved_model_is_loaded(saved, workload, batch):
    folder, model = saved
    loaded = BertImdb("tiny", checkpoint=str(folder))
    assert equal(loaded.build_model(), model)
    assert loaded.tokeniser.get_vocab() == workload.tokeniser.get_vocab()


def test_a_checkpoint_is_loaded_in_fp32(saved, tmp_path):
    folder = shutil.copytree(saved[0], tmp_path / "bf16")
    copy.deepcopy(saved[1]).to(torch.bfloat16).save_pretrained(folder)
    model = BertImdb("tiny", checkpoint=str(folder)).build_model()
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_a_bare_encoder_gets_a_classifier_of_its_own(saved, tmp_path):
    folder = shutil.copytree(saved[0], tmp_path / "bare")
    saved[1].bert.save_pretrained(folder)
    model = BertImdb("tiny", checkpoint=str(folder)).build_model()
    assert equal(model.bert, saved[1].bert)
    assert model.classifier.out_features == 2


def test_a_checkpoint_of_another_architecture_is_refused(workload, tmp_path):
    ResNet18Mnist("tiny").build_model().save_pretrained(tmp_path)
    workload.tokeniser.save_pretrained(tmp_path)
    with pytest.raises(DataError, match="is a resnet model: expected a bert") as caught:
        BertImdb("tiny", checkpoint=str(tmp_path)).build_model()
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("of", ["model", "tokeniser"])
@pytest.mark.parametrize("checkpoint", ["/no/such/folder", "./weights", "~/no-such-folder", "a/b/c"])
def test_a_path_that_is_not_there_is_refused(of, checkpoint):
    with pytest.raises(DataError, match=r"expected a folder with config\.json and weights, or a hub id") as caught:
        part(BertImdb("tiny", checkpoint=checkpoint))[of]()
    assert repr(checkpoint) in str(caught.value)


@pytest.mark.parametrize("checkpoint", ["some-model", "somebody/some-model"])
def test_anything_else_is_a_hub_id(workload, monkeypatch, tmp_path, checkpoint):
    asked = []

    def unreachable(where, **_):
        asked.append(where)
        raise OSError("no route to host,\n  after 5 attempts")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("transformers.AutoConfig.from_pretrained", unreachable)
    monkeypatch.setattr("transformers.AutoTokenizer.from_pretrained", unreachable)
    parts = part(BertImdb("tiny", checkpoint=checkpoint))
    for of, words in (("tokeniser", "the tokeniser of"), ("model", "checkpoint")):
        with pytest.raises(DataError) as caught:
            parts[of]()
        assert str(caught.value) == f"cannot read {words} {checkpoint!r}: no route to host, after 5 attempts"
        # a model is checked against its tokeniser: the second time that one is within reach
        monkeypatch.setattr("transformers.AutoTokenizer.from_pretrained", lambda where, **_: workload.tokeniser)
    assert asked == [checkpoint] * 2


def test_a_folder_may_be_written_from_the_current_one(saved, monkeypatch):
    monkeypatch.chdir(saved[0].parent)
    assert equal(BertImdb("tiny", checkpoint=saved[0].name).build_model(), saved[1])


def test_a_checkpoint_of_weights_alone_does_not_make_every_word_unknown(saved, tmp_path):
    saved[1].save_pretrained(tmp_path)
    with pytest.raises(
        DataError, match=r"has no tokeniser: expected tokenizer\.json or vocab\.txt beside its weights"
    ) as caught:
        BertImdb("tiny", checkpoint=str(tmp_path)).data("test")
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_checkpoint_with_a_mere_vocabulary_has_a_tokeniser(saved, workload, tmp_path):
    saved[1].save_pretrained(tmp_path)
    words = sorted(workload.tokeniser.get_vocab().items(), key=lambda item: item[1])
    (tmp_path / "vocab.txt").write_text("".join(f"{word}\n" for word, _ in words))
    assert BertImdb("tiny", checkpoint=str(tmp_path)).tokeniser.get_vocab() == dict(words)


def test_a_tokeniser_of_only_special_words_is_refused(saved, tmp_path):
    """Each word of a review would be unknown."""
    saved[1].save_pretrained(tmp_path)
    (tmp_path / "vocab.txt").write_text("".join(f"{word}\n" for word in SPECIAL))
    with pytest.raises(
        DataError, match=r"has no tokeniser: expected tokenizer\.json or vocab\.txt beside its weights"
    ) as caught:
        BertImdb("tiny", checkpoint=str(tmp_path)).data("test")
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_tokeniser_that_cannot_be_read_is_refused_in_one_line(saved, tmp_path):
    folder = shutil.copytree(saved[0], tmp_path / "damaged")
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(DataError) as caught:
        BertImdb("tiny", checkpoint=str(folder)).tokeniser  # noqa: B018
    assert str(caught.value).startswith(f"cannot read the tokeniser of {str(folder)!r}: ")
    assert "\n" not in str(caught.value)


def test_a_checkpoint_may_be_written_from_home(saved, monkeypatch):
    monkeypatch.setenv("HOME", str(saved[0].parent))
    workload = BertImdb("tiny", checkpoint=f"~/{saved[0].name}")
    assert equal(workload.build_model(), saved[1])
    assert len(workload.tokeniser) > len(SPECIAL)


@pytest.fixture
def resized(saved, tmp_path):
    """resized(num_labels=3): the folder of a checkpoint with other sizes than the tiny model's, and its tokeniser."""

    def resized(**sizes):
        folder = shutil.copytree(saved[0], tmp_path / "resized")
        BertForSequenceClassification(BertConfig(**saved[1].config.to_dict() | sizes)).save_pretrained(folder)
        return str(folder)

    return resized


def test_a_checkpoint_with_another_number_of_labels_is_refused(resized):
    folder = resized(num_labels=3)
    with pytest.raises(DataError) as caught:
        BertImdb("tiny", checkpoint=folder).build_model()
    assert str(caught.value) == f"checkpoint {folder!r} has layers of other sizes than its configuration with 2 labels"


def test_a_checkpoint_with_too_few_positions_is_refused(resized):
    folder = resized(max_position_embeddings=19)
    with pytest.raises(DataError) as caught:
        BertImdb("tiny", checkpoint=folder).build_model()
    assert str(caught.value) == f"checkpoint {folder!r} has max_position_embeddings 19: expected 20 or more"


def test_a_checkpoint_with_a_smaller_vocabulary_than_its_tokeniser_is_refused(resized, workload):
    words = len(workload.tokeniser)
    folder = resized(vocab_size=words - 1)
    with pytest.raises(DataError) as caught:
        BertImdb("tiny", checkpoint=folder).build_model()
    assert str(caught.value) == f"checkpoint {folder!r} has vocab_size {words - 1}: expected {words} or more"


@pytest.mark.parametrize("size", ["max_position_embeddings", "vocab_size"])
@pytest.mark.parametrize("more", [0, 8])
def test_a_checkpoint_that_is_just_large_enough_or_larger_is_loaded(resized, workload, batch, size, more):
    least = {"max_position_embeddings": 20, "vocab_size": len(workload.tokeniser)}[size]
    model = BertImdb("tiny", checkpoint=resized(**{size: least + more})).build_model()
    assert getattr(model.config, size) == least + more
    assert workload.loss(model, batch).isfinite()


def without(name):
    return lambda folder: (folder / name).unlink()


def cut(name, size):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:size])


def configured(**changes):
    def change(folder):
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | changes))

    return change


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        pytest.param(without("config.json"), "cannot read checkpoint {}: ", id="no config"),
        pytest.param(without("model.safetensors"), "cannot read checkpoint {}: ", id="no weights"),
        pytest.param(cut("config.json", 50), "cannot read the tokeniser of {}: ", id="truncated config"),
        pytest.param(
            configured(hidden_size=32), "checkpoint {} has layers of other sizes than its configuration", id="other width"
        ),
        pytest.param(cut("model.safetensors", 1000), "cannot read checkpoint {}: ", id="truncated weights"),
        pytest.param(configured(hidden_size="wide"), "cannot read the tokeniser of {}: ", id="wrong type in config"),
    ],
)
def test_a_damaged_checkpoint_is_refused_in_one_line(saved, tmp_path, damage, words):
    folder = shutil.copytree(saved[0], tmp_path / "damaged")
    damage(folder)
    with pytest.raises(DataError) as caught:
        BertImdb("tiny", checkpoint=str(folder)).build_model()
    assert str(caught.value).startswith(words.format(repr(str(folder))))
    assert "\n" not in str(caught.value)


def test_the_full_model_is_bert_base():
    with torch.device("meta"):
        model = BertImdb("full").build_model()
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(109.5e6, rel=0.001)


@pytest.mark.parametrize("kind", [BertImdb, BertImdb1k])
def test_gradients_are_clipped_in_size_full_as_berts_own_recipe_does(kind):
    assert kind("full").recipe.max_norm == 1.0
