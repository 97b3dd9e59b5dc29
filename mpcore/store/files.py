"""One file in, one record out: what pytest-benchmark wrote, with a whole run under one key."""

import json
import math
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from mpcore.records import LAYOUT, Case, FailedTest, Published, Result, Run
from mpcore.store.error import RunError

KEY = "mpcore"
"""Our key in the file."""


def load(path: str | Path) -> Run:
    """The run that is saved in a file. Raises RunError."""
    return to_run(path, read(path))


def read(path: str | Path) -> dict[str, Any]:
    """All that the file of a run holds, what pytest-benchmark keeps there included. Raises RunError."""
    content = _json(path)
    if not isinstance(content, dict):
        raise RunError(
            f"{path} is no run of mpcore: expected an object of pytest-benchmark's layout, found {type(content).__name__}"
        )
    return content


def to_run(path: str | Path, content: Mapping[str, Any]) -> Run:
    """The run in `content`, which was read from `path`, with the fields that a newer minor layout adds. Raises RunError."""
    stored = stored_in(content, path)
    try:
        run = Run.model_validate(stored, extra="allow" if is_newer(stored, path) else "forbid")
    except ValidationError as error:
        match error.errors()[0]["loc"]:
            case ("results", int(number), *_):
                name = _name(stored["results"][number])
            case _:
                name = ""
        raise RunError(f"{path}, {name or KEY}: {first_error(error)}") from error
    _unique(run.results, path)
    told = {"path": _shown(path), "uncommitted": _uncommitted(content), "failed": (*run.failed, *_untold(run))}
    return run.model_copy(update=told)


def stored_in(content: Mapping[str, Any], path: str | Path) -> dict[str, Any]:
    """What is under our key in `content`, of any layout. Raises RunError where it is no object."""
    stored = content.get(KEY)
    if not isinstance(stored, dict):
        raise RunError(f"{path} is no run of mpcore: expected an object under {KEY!r}, found {stored!r:.80}")
    return stored


def text_of(content: Mapping[str, Any]) -> str:
    """As it is written: one value a line, so that a person sees what changes."""
    return json.dumps(content, indent=1) + "\n"


def load_published(folder: Path) -> list[Published]:
    """All figures of the JSON files in `folder`, each a list of them. Raises RunError."""
    paths = sorted(folder.glob("*.json"))
    if not paths:
        raise RunError(f"no published figures in {str(folder)!r}: expected a folder with JSON files of them")
    return [figure for path in paths for figure in load_figures(path)]


def load_figures(path: str | Path) -> list[Published]:
    """Those of one file. Raises RunError."""
    content = _json(path)
    if not isinstance(content, list):
        raise RunError(f"{path}: expected a list of figures, found {type(content).__name__}")
    if not content:
        raise RunError(f"{path}: expected a run or a list of published figures, found an empty list")
    try:
        return TypeAdapter(list[Published]).validate_python(content)
    except ValidationError as error:
        raise RunError(f"{path}: {first_error(error)}") from error


def load_either(path: str | Path) -> Run | list[Published]:
    """What a file holds that may be a run or published figures, which are a list. Raises RunError."""
    return load_figures(path) if read_bytes(path).lstrip().startswith(b"[") else load(path)


def first_error(error: ValidationError) -> str:
    """The place that is wrong, what was expected there, and what was found."""
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc'])) or 'the record'}: {first['msg']}, found {first['input']!r:.80}"


def is_newer(stored: Mapping[str, Any], path: str | Path) -> bool:
    """Whether a newer version of us wrote it, of the same major layout. Raises RunError for another one."""
    if "layout" not in stored:
        command = f"python -m mpcore convert --in-place {shlex.quote(str(path))}"
        raise RunError(f"{path} is of an older layout: `{command}` makes it one of layout {LAYOUT}")
    found, (major, minor) = stored["layout"], LAYOUT.split(".")
    version = re.fullmatch(r"(\d+)\.(\d+)", found) if isinstance(found, str) else None
    if version is None or version[1] != major:
        raise RunError(f"{path}: layout {found!r:.80}: this version reads {major}.{minor} and later ones of {major}")
    return int(version[2]) > int(minor)


def _uncommitted(content: Mapping[str, Any]) -> bool:
    """What pytest-benchmark says of the tree."""
    commit = content.get("commit_info")
    return isinstance(commit, Mapping) and commit.get("dirty") is True


def _shown(path: str | Path) -> str:
    """A file's name need not be a text."""
    return str(path).encode(errors="backslashreplace").decode()


def _name(result: Any) -> str:
    """What a record can be called that cannot be read, "" where its case is not to be read either."""
    try:
        return f"{result['record']['kind']}:{Case.model_validate(result['record']['case'], extra='ignore').id}"
    except (KeyError, TypeError, ValidationError):
        return ""


def _unique(results: Iterable[Result], path: str | Path) -> None:
    """A case that is there twice has no figure."""
    seen = set()
    for record in (result.record for result in results):
        if record.identity in seen:
            raise RunError(f"{path}: {record.kind} of {record.case.id} is there twice")
        seen.add(record.identity)


def _untold(run: Run) -> list[FailedTest]:
    """Of results that do not pass, and are not among what the session says failed."""
    told = {failure.name for failure in run.failed}
    failed = {result.record.name: result for result in run.results if not result.passed}
    return [
        FailedTest(test=name, name=name, sentence="; ".join(j.sentence for j in result.judgements if not j.passed))
        for name, result in failed.items()
        if name not in told
    ]


def read_bytes(path: str | Path) -> bytes:
    """Raises RunError."""
    try:
        return Path(path).read_bytes()
    except IsADirectoryError as error:
        raise RunError(f"{path} is a folder: expected a file") from error
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror}") from error


class _NotFinite(Exception):
    pass


def _finite(text: str) -> float:
    """Python reads NaN, Infinity and 1e999, and none is a figure."""
    value = float(text)
    if not math.isfinite(value):
        raise _NotFinite
    return value


def _json(path: str | Path) -> Any:
    text = read_bytes(path)
    try:
        return json.loads(text, parse_float=_finite, parse_constant=_finite)
    except _NotFinite:
        place, value = next(_not_finite(json.loads(text)))
        raise RunError(f"{path}: {place}: expected a finite number, found {value}") from None
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path} is no JSON file: {error}") from error


def _not_finite(content: Any) -> Iterator[tuple[str, float]]:
    """Where such values are."""
    waiting = [("", content)]
    while waiting:
        place, value = waiting.pop()
        if isinstance(value, float) and not math.isfinite(value):
            yield place.removeprefix("."), value
        inner = value.items() if isinstance(value, dict) else enumerate(value if isinstance(value, list) else ())
        waiting += [(f"{place}.{key}", part) for key, part in inner]
