import io
from collections import Counter
from functools import partial
from pathlib import Path

import pyarrow
import pytest
from datasets import ClassLabel, Dataset, Features, Image, Value
from PIL import Image as Pillow
from pyarrow import parquet
from refused import one_sentence

from mpcore.data.source import DataError, Source, balanced, labelled

pytestmark = pytest.mark.usefixtures("datasets_cache")

refusal = partial(one_sentence, DataError)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "imdb").mkdir()
    texts("good", "bad", "fine").to_parquet(tmp_path / "imdb" / "train.parquet")
    return tmp_path


def texts(*values, labels=None):
    return Dataset.from_dict({"text": list(values), "label": labels or [i % 2 for i in range(len(values))]})


def never(split):
    raise AssertionError("the embedded data were asked for")


def load(where, split="train"):
    return Source(str(where)).load("imdb", "stanfordnlp/imdb", split, never)


def test_images_are_images_whoever_wrote_them(tmp_path):
    (tmp_path / "imdb").mkdir()
    file = io.BytesIO()
    Pillow.new("L", (2, 2), 7).save(file, "PNG")
    table = pyarrow.table({"image": [{"bytes": file.getvalue(), "path": None}], "label": [1]})
    parquet.write_table(table, tmp_path / "imdb" / "train.parquet")
    dataset, where = load(tmp_path)
    assert labelled(dataset, where, "image", 2)[0]["image"].getpixel((0, 0)) == 7


def test_embedded_data_are_the_default():
    dataset, where = Source().load("imdb", "stanfordnlp/imdb", "test", lambda split: texts(split))
    assert dataset["text"][:] == ["test"]
    assert where == "embedded imdb test"


def test_a_folder_holds_a_file_for_each_split(folder):
    dataset, where = load(folder)
    assert dataset.to_dict() == {"text": ["good", "bad", "fine"], "label": [0, 1, 0]}
    assert where == str(folder / "imdb" / "train.parquet")


def test_a_folder_may_be_written_from_home(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder.parent))
    assert len(load(Path("~") / folder.name)[0]) == 3


def test_images_come_back_from_a_folder(tmp_path):
    (tmp_path / "imdb").mkdir()
    features = Features({"image": Image(), "label": ClassLabel(num_classes=10)})
    images = [Pillow.new("L", (28, 28), shade) for shade in (0, 255)]
    Dataset.from_dict({"image": images, "label": [3, 9]}, features=features).to_parquet(tmp_path / "imdb" / "train.parquet")
    dataset, where = load(tmp_path)
    assert labelled(dataset, where, "image", 10) is dataset
    assert [image.getpixel((0, 0)) for image in dataset["image"][:]] == [0, 255]


@pytest.mark.parametrize("name", ["nowhere", "imdb/train.parquet"])
def test_a_folder_that_is_none_is_refused_at_once(folder, name):
    message = refusal(Source, str(folder / name))
    assert str(folder / name) in message
    assert "expected 'embedded', 'hub' or an existing folder" in message


def test_a_missing_file_is_named(folder):
    message = refusal(load, folder, "test")
    assert str(folder / "imdb" / "test.parquet") in message
    assert message.endswith("expected the data folder to hold it")


@pytest.mark.parametrize("content", [b"", b"this is no parquet", b"PAR1"])
def test_a_file_that_cannot_be_read_is_named(folder, content):
    path = folder / "imdb" / "test.parquet"
    path.write_bytes(content)
    assert refusal(load, folder, "test").startswith(f"cannot read {path}: ")


def test_a_truncated_file_is_named(folder):
    path = folder / "imdb" / "test.parquet"
    path.write_bytes((folder / "imdb" / "train.parquet").read_bytes()[:-20])
    assert refusal(load, folder, "test").startswith(f"cannot read {path}: ")


def test_the_hub_is_asked_for_the_split(monkeypatch):
    asked = {}
    monkeypatch.setattr("datasets.load_dataset", lambda name, **options: asked.update({name: options}) or texts("a"))
    dataset, where = Source("hub").load("imdb", "somebody/asked", "test", never)
    assert asked == {"somebody/asked": {"split": "test"}}
    assert (len(dataset), where) == (1, "somebody/asked test")


def test_a_hub_out_of_reach_is_one_sentence_with_the_id(monkeypatch):
    def unreachable(*_, **__):
        raise ConnectionError("no route to host,\n  after 5 attempts " + "and more " * 100)

    monkeypatch.setattr("datasets.load_dataset", unreachable)
    message = refusal(Source("hub").load, "imdb", "somebody/unreachable", "train", never)
    assert "cannot read the hub's somebody/unreachable train: no route to host, after 5 attempts" in message
    assert len(message) < 400


def test_good_data_are_handed_back_unchanged():
    dataset = texts("good", "bad")
    assert labelled(dataset, "here", "text", 2) is dataset


def test_an_empty_split_is_named():
    assert refusal(labelled, texts("a").select([]), "here.parquet", "text", 2).startswith("here.parquet is empty")


@pytest.mark.parametrize("missing", ["text", "label"])
def test_a_missing_column_is_named_with_those_found(missing):
    message = refusal(labelled, texts("a").rename_column(missing, "other"), "here.parquet", "text", 2)
    assert f"here.parquet has no column {missing!r}" in message
    assert "'other'" in message


@pytest.mark.parametrize("label", [-1, 2, 1000])
def test_a_label_out_of_range_is_named_with_its_row(label):
    message = refusal(labelled, texts("a", "b", "c", labels=[0, 1, label]), "here.parquet", "text", 2)
    assert message == f"here.parquet, row 2: label {label} is not a whole number from 0 to 1"


@pytest.mark.parametrize("label", [0.0, "1", None, True, False])
def test_a_label_that_is_no_whole_number_is_named_with_its_row(label):
    message = refusal(labelled, Dataset.from_dict({"text": ["a"], "label": [label]}), "here.parquet", "text", 2)
    assert message.startswith(f"here.parquet, row 0: label {label!r} ")


def test_texts_in_place_of_images_are_refused():
    message = refusal(labelled, texts("a").rename_column("text", "image"), "here.parquet", "image", 2)
    assert "column 'image' holds Value('string')" in message
    assert "expected images" in message


def test_images_in_place_of_texts_are_refused():
    features = Features({"text": Image(), "label": Value("int64")})
    dataset = Dataset.from_dict({"text": [Pillow.new("L", (28, 28))], "label": [0]}, features=features)
    message = refusal(labelled, dataset, "here.parquet", "text", 2)
    assert "column 'text' holds Image(" in message
    assert message.endswith("expected texts")


@pytest.mark.parametrize(
    ("values", "kind"),
    [([1, 2], "Value('int64')"), ([["a"], ["b"]], "List(Value('string'))"), ([None, None], "Value('null')")],
    ids=["numbers", "lists", "nothing"],
)
def test_a_column_of_something_else_than_texts_is_refused(values, kind):
    message = refusal(labelled, texts(*values), "here.parquet", "text", 2)
    assert message == f"here.parquet: column 'text' holds {kind}, expected texts"


def test_a_text_that_is_missing_is_named_with_its_row():
    assert refusal(labelled, texts("a", None, "b", None), "here.parquet", "text", 2) == "here.parquet, row 1: no text"


def test_long_texts_are_texts():
    dataset = texts("a", "b").cast_column("text", Value("large_string"))
    assert labelled(dataset, "here", "text", 2) is dataset


def test_a_choice_is_balanced():
    dataset = texts(*map(str, range(100)), labels=[0] * 80 + [1] * 20)
    chosen = balanced(dataset, 30, 2)
    assert Counter(chosen["label"][:]) == {0: 15, 1: 15}
    assert len(set(chosen["text"][:])) == 30


def test_a_choice_is_the_same_each_time_and_shuffled():
    dataset = texts(*map(str, range(100)), labels=[0] * 50 + [1] * 50)
    first, second = balanced(dataset, 40, 2), balanced(dataset, 40, 2)
    assert first.to_dict() == second.to_dict()
    assert first["label"][:] != sorted(first["label"][:])
    assert first["text"][:] != [str(i) for i in range(40)]


@pytest.mark.parametrize("rows", [4, 5])
def test_all_are_kept_where_there_are_no_more(rows):
    dataset = texts("a", "b", "c", "d", labels=[0, 0, 0, 1])
    assert balanced(dataset, rows, 2).to_dict() == dataset.to_dict()


def test_a_class_with_too_few_gives_all_it_has():
    chosen = balanced(texts(*map(str, range(20)), labels=[0] * 18 + [1] * 2), 10, 2)
    assert Counter(chosen["label"][:]) == {0: 5, 1: 2}
