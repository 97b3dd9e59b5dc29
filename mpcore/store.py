"""Saved runs: pytest-benchmark's own files, with our results inside. A file that cannot be used is one clear sentence."""

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mpcore.records import SCHEMA, Machine, Published, Result, Run

KEY = "mpcore"
"""Our key in the file, in its `machine_info`, and in the `extra_info` of each benchmark."""


LAYOUTS = range(2, SCHEMA + 1)


class RunError(ValueError):
    """A file that is no run of this suite; the message names it and the place in it."""


def load(path: str | Path) -> Run:
    """Raises RunError."""
    try:
        content: Any = json.loads(Path(path).read_bytes())
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path} is no JSON file: {error}") from error
    if not isinstance(content, dict):
        raise RunError(
            f"{path} is no run of mpcore: expected an object of pytest-benchmark's layout, found {type(content).__name__}"
        )
    try:
        machine = content["machine_info"][KEY]
        found = [(b["fullname"], b["extra_info"][KEY]) for b in content["benchmarks"] if KEY in b["extra_info"]]
        head = {
            "path": str(path),
            "command": content[KEY]["command"],
            "datetime": content["datetime"],
            "commit": content["commit_info"]["id"],
        }
    except KeyError as error:
        raise RunError(
            f"{path} is no run of mpcore: expected pytest-benchmark's layout with {KEY!r} in it, {error} is missing"
        ) from error
    except TypeError as error:
        raise RunError(f"{path} is no run of mpcore: expected pytest-benchmark's layout, {error}") from error
    results = [_validate(Result, value, f"{path}, {name}") for name, value in found]
    checked = _validate(Machine, machine, f"{path}, machine_info")
    return _validate(Run, head | {"machine": checked, "results": results}, str(path))


def load_published(folder: Path) -> list[Published]:
    """All figures of the JSON files in `folder`, each a list of them. Raises RunError."""
    paths = sorted(folder.glob("*.json"))
    if not paths:
        raise RunError(f"no published figures in {str(folder)!r}: expected a folder with JSON files of them")
    found = []
    for path in paths:
        try:
            content = json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            raise RunError(f"cannot read {path}: {error}") from error
        if not isinstance(content, list):
            raise RunError(f"{path}: expected a list of figures, found {type(content).__name__}")
        found += [_validate(Published, figure, f"{path}, figure {number}") for number, figure in enumerate(content, 1)]
    return found


def _validate(model: Any, value: Any, where: str) -> Any:
    if model is Result and isinstance(value, dict) and (layout := value.get("layout", 1)) not in LAYOUTS:
        raise RunError(f"{where}: layout {layout!r}, this version reads {LAYOUTS.start} to {SCHEMA}")
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the record"
        raise RunError(f"{where}: {place}: {first['msg']}, found {first['input']!r:.80}") from error
