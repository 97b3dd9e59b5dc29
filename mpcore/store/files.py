"""One file in, one record out."""

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, NonNegativeInt, ValidationError

from mpcore.records import SCHEMA, Accepted, FailedTest, Machine, Published, Result, Run

KEY = "mpcore"
"""Our key in the file, in its `machine_info`, and in the `extra_info` of each benchmark."""
NO_FIGURES = (b"NaN", b"Infinity")
LAYOUTS = range(2, SCHEMA + 1)


class RunError(ValueError):
    """A file that is no run of this suite, or cannot be a baseline; the message names it and the place in it."""


def load(path: str | Path) -> Run:
    """Raises RunError."""
    return _at_once(path, _bytes(path)) or to_run(path, read(path))


def read(path: str | Path) -> dict[str, Any]:
    """What pytest-benchmark wrote. Raises RunError."""
    content = _json(path)
    if not isinstance(content, dict):
        raise RunError(
            f"{path} is no run of mpcore: expected an object of pytest-benchmark's layout, found {type(content).__name__}"
        )
    return content


def to_run(path: str | Path, content: dict[str, Any]) -> Run:
    """What `path` holds. Raises RunError."""
    try:
        machine = content["machine_info"][KEY]
        found = [(b["fullname"], b["extra_info"][KEY]) for b in content["benchmarks"] if KEY in b["extra_info"]]
        head = {
            "path": str(path),
            "command": content[KEY]["command"],
            "datetime": content["datetime"],
            "commit": content["commit_info"]["id"],
            "failed": content[KEY].get("failed", []),
            "missed": content[KEY].get("missed", 0),
        }
        accepted = content[KEY].get("accepted")
    except KeyError as error:
        raise RunError(
            f"{path} is no run of mpcore: expected pytest-benchmark's layout with {KEY!r} in it, {error} is missing"
        ) from error
    except TypeError as error:
        raise RunError(f"{path} is no run of mpcore: expected pytest-benchmark's layout, {error}") from error
    results = [_validate(Result, value, f"{path}, {name}") for name, value in found]
    head["machine"] = _validate(Machine, machine, f"{path}, machine_info")
    if accepted is not None:
        head["accepted"] = _validate(Accepted, accepted, f"{path}, {KEY}.accepted")
    run = _validate(Run, head | {"results": results}, str(path))
    names = [name for name, _ in found]
    _unique(names, results, path)
    return run.model_copy(update={"failed": _failures(run.failed, names, results)})


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
    return [_validate(Published, figure, f"{path}, figure {number}") for number, figure in enumerate(content, 1)]


def load_either(path: str | Path) -> Run | list[Published]:
    """What a file holds that may be a run or published figures, which are a list. Raises RunError."""
    return load_figures(path) if _bytes(path).lstrip().startswith(b"[") else load(path)


class _Part(BaseModel):
    """What is read of an object of pytest-benchmark's."""

    model_config = ConfigDict(extra="ignore")


class _Extra(_Part):
    mpcore: Result | None = None


class _Benchmark(_Part):
    fullname: str
    extra_info: _Extra


class _MachineInfo(_Part):
    mpcore: Machine


class _CommitInfo(_Part):
    id: str | None


class _Session(_Part):
    command: str
    failed: tuple[FailedTest, ...] = ()
    missed: NonNegativeInt = 0
    accepted: Accepted | None = None


class _File(_Part):
    machine_info: _MachineInfo
    commit_info: _CommitInfo
    benchmarks: tuple[_Benchmark, ...]
    datetime: str
    mpcore: _Session


def _at_once(path: str | Path, content: bytes) -> Run | None:
    """From bytes to records, in half the time that it takes to look at each value; None for what that had better do: it
    says what is wrong, and where."""
    if any(word in content for word in NO_FIGURES):  # in what is not read here, too
        return None
    try:
        file = _File.model_validate_json(content)
    except ValidationError:
        return None
    if any("mpcore" in b.extra_info.model_fields_set and b.extra_info.mpcore is None for b in file.benchmarks):
        return None
    found = [(b.fullname, b.extra_info.mpcore) for b in file.benchmarks if b.extra_info.mpcore]
    if any(result.layout not in LAYOUTS or "layout" not in result.model_fields_set for _, result in found):
        return None
    names, results = [name for name, _ in found], [result for _, result in found]
    _unique(names, results, path)
    return Run(
        path=str(path),
        command=file.mpcore.command,
        datetime=file.datetime,
        commit=file.commit_info.id,
        machine=file.machine_info.mpcore,
        results=tuple(results),
        failed=_failures(file.mpcore.failed, names, results),
        missed=file.mpcore.missed,
        accepted=file.mpcore.accepted,
    )


def _bytes(path: str | Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror}") from error


def _json(path: str | Path) -> Any:
    text = _bytes(path)
    try:
        content: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path} is no JSON file: {error}") from error
    waiting = [("", content)]
    while waiting:  # Python reads NaN, Infinity and 1e999, none of which is a figure
        place, value = waiting.pop()
        if isinstance(value, float) and not math.isfinite(value):
            raise RunError(f"{path}: {place.removeprefix('.')}: expected a finite number, found {value}")
        inner: Iterable[tuple[Any, Any]] = value.items() if isinstance(value, dict) else ()
        waiting += [(f"{place}.{k}", v) for k, v in (enumerate(value) if isinstance(value, list) else inner)]
    return content


def _unique(names: list[Any], results: list[Result], path: str | Path) -> None:
    """A case that is there twice has no figure."""
    benchmarks, cases = set(), set()
    for name, result in zip(names, results, strict=True):
        record = result.record
        if not isinstance(name, str):
            raise RunError(f"{path}: fullname of a benchmark: expected a text, found {name!r:.80}")
        if name in benchmarks or record.identity in cases:
            raise RunError(f"{path}, {name}: {record.kind} of {record.case.id} is there twice")
        benchmarks.add(name)
        cases.add(record.identity)


def _failures(told: tuple[FailedTest, ...], names: list[str], results: list[Result]) -> tuple[FailedTest, ...]:
    """Those that the session told of, and those that its verdicts show, each test once."""
    found = {f.test: f for f in told}
    for name, result in zip(names, results, strict=True):
        if not result.passed:
            found.setdefault(
                name, FailedTest(test=name, sentence="; ".join(v.sentence for v in result.verdicts if not v.passed))
            )
    return tuple(found.values())


def _validate(model: Any, value: Any, where: str) -> Any:
    if model is Result and isinstance(value, dict) and (layout := value.get("layout", 1)) not in LAYOUTS:
        raise RunError(f"{where}: layout {layout!r}, this version reads {LAYOUTS.start} to {SCHEMA}")
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the record"
        raise RunError(f"{where}: {place}: {first['msg']}, found {first['input']!r:.80}") from error
