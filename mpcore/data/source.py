"""Where data come from: embedded in the project (the default), a folder, or the Hugging Face hub."""

import functools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyarrow import parquet

if TYPE_CHECKING:
    from datasets import Dataset

EMBEDDED, HUB = "embedded", "hub"


class DataError(ValueError):
    """Data or weights that cannot be used: one sentence that names the file and says what was expected."""


@dataclass(frozen=True)
class Source:
    """`embedded`, `hub`, or the path of a folder that holds a folder for each set: its `train.parquet` and `test.parquet`, or
    what its workload asks for."""

    where: str = EMBEDDED

    def __post_init__(self) -> None:
        if self.folder is not None and not self.folder.is_dir():
            raise DataError(f"no data folder {self.where!r}: expected 'embedded', 'hub' or an existing folder")

    @property
    def name(self) -> str:
        """What it is called in a record: a folder always the same."""
        return self.where if self.folder is None else resolved(self.where)

    @property
    def folder(self) -> Path | None:
        return None if self.where in (EMBEDDED, HUB) else Path(self.where).expanduser()

    def load(
        self,
        name: str,
        hub_id: str,
        split: str,
        embedded: "Callable[[str], Dataset] | None" = None,
        files: Sequence[str] = (),
    ) -> "tuple[Dataset, str]":
        """The split of the set called `name` and, for messages, where it came from. Raises DataError.

        hub_id: "owner/set", or "owner/set/subset". files: what the split may be called in a folder, in order of preference,
        where it is not `<split>.parquet`. A `.txt` has a row for each line, with its end, in the column `text`. embedded: left
        out where a workload makes its own tensors.
        """
        if self.where == EMBEDDED:
            if embedded is None:
                raise DataError(f"{name} has no embedded data: expected --mp-data hub, or a folder")
            return embedded(split), f"embedded {name} {split}"
        if self.folder is None:
            return _from_hub(hub_id, split), f"{hub_id} {split}"
        paths = [self.folder / name / file for file in files or (f"{split}.parquet",)]
        path = next((p for p in paths if p.is_file()), None)
        if path is None:
            raise DataError(f"no file {' or '.join(repr(str(p)) for p in paths)}: expected the data folder to hold it")
        return (_from_text if path.suffix == ".txt" else _from_parquet)(path), str(path)


def resolved(where: str) -> str:
    """The whole path of a folder, however it is spelled; anything else as it is."""
    path = Path(where).expanduser()
    return str(path.resolve()) if path.is_dir() else where


def labelled(dataset: "Dataset", where: str, column: str, classes: int) -> "Dataset":
    """`dataset` unchanged, once it is seen to have samples, `column`, and labels from 0 to `classes` - 1.

    Raises DataError with `where`, which names the file, in its message.
    """
    from datasets import Image  # of the extra `workloads`, as below

    if not len(dataset):
        raise DataError(f"{where} is empty: expected at least one row")
    for wanted in (column, "label"):
        if wanted not in dataset.column_names:
            raise DataError(f"{where} has no column {wanted!r}: expected {column!r} and 'label', found {dataset.column_names}")
    for row, label in enumerate(dataset["label"][:]):
        if type(label) is not int or not 0 <= label < classes:
            raise DataError(f"{where}, row {row}: label {label!r} is not a whole number from 0 to {classes - 1}")
    kind = dataset.features[column]
    texts = getattr(kind, "dtype", None) in ("string", "large_string")
    if not (texts if column == "text" else isinstance(kind, Image)):
        raise DataError(f"{where}: column {column!r} holds {kind}, expected {'texts' if column == 'text' else 'images'}")
    if column == "text" and None in dataset[column][:]:
        raise DataError(f"{where}, row {dataset[column][:].index(None)}: no text")
    return dataset


def balanced(dataset: "Dataset", rows: int, classes: int) -> "Dataset":
    """At most `rows` samples, as many of each class, chosen and shuffled by a fixed seed; all where there are no more."""
    if len(dataset) <= rows:
        return dataset
    rng = random.Random(0)
    by_class: dict[int, list[int]] = {c: [] for c in range(classes)}
    for index, label in enumerate(dataset["label"][:]):
        by_class[label].append(index)
    chosen = [i for members in by_class.values() for i in rng.sample(members, min(len(members), rows // classes))]
    rng.shuffle(chosen)
    return dataset.select(chosen)


@functools.cache
def _from_parquet(path: Path) -> "Dataset":
    from datasets import Dataset

    if _readable(lambda: parquet.read_metadata(path), str(path)).num_rows == 0:
        raise DataError(f"{path} is empty: expected at least one row")
    return _readable(lambda: _with_images(Dataset.from_parquet(str(path))), str(path))


def _with_images(dataset: "Dataset") -> "Dataset":
    """Others than `datasets` write an image as the bytes and the path that it is made of, and nothing that says so."""
    from datasets import Image

    for name, kind in dataset.features.items():
        if isinstance(kind, dict) and kind.keys() == {"bytes", "path"}:
            dataset = dataset.cast_column(name, Image())
    return dataset


@functools.cache
def _from_text(path: Path) -> "Dataset":
    from datasets import Dataset

    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty: expected text")
    return _readable(lambda: Dataset.from_text(str(path), keep_linebreaks=True), str(path))


@functools.cache
def _from_hub(hub_id: str, split: str) -> "Dataset":
    from datasets import load_dataset

    owner, name, *subset = hub_id.split("/")
    return _readable(lambda: load_dataset(f"{owner}/{name}", *subset, split=split), f"the hub's {hub_id} {split}")


def _readable(load: Callable[[], Any], where: str) -> "Dataset":
    try:
        return load()
    except Exception as error:  # pyarrow, datasets and the hub's client have no common base for "cannot be read"
        reason = " ".join(str(error.__cause__ or error).split())
        raise DataError(f"cannot read {where}: {reason[:300]}") from error
