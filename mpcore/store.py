"""Saved runs: pytest-benchmark's own files, with our results inside. A file that cannot be used is one clear sentence."""

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mpcore.records import SCHEMA, Machine, Result, Run

KEY = "mpcore"
"""Our key in `machine_info` and in the `extra_info` of each benchmark."""


class RunError(ValueError):
    """A file that is no run of this suite; the message names it and the place in it."""


def load(path: str | Path) -> Run:
    """Raises RunError."""
    try:
        content: Any = json.loads(Path(path).read_bytes())
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise RunError(f"{path} is no JSON file: {error}") from error
    try:
        machine = content["machine_info"][KEY]
        found = [(b["fullname"], b["extra_info"][KEY]) for b in content["benchmarks"] if KEY in b["extra_info"]]
        saved, commit = content["datetime"], content["commit_info"]["id"]
    except (KeyError, TypeError) as error:
        raise RunError(
            f"{path} is no run of mpcore: expected pytest-benchmark's layout with {KEY!r} in it, but {error} is missing"
        ) from error
    results = tuple(_validate(Result, value, f"{path}, {name}") for name, value in found)
    return Run(
        path=str(path),
        datetime=saved,
        commit=commit,
        machine=_validate(Machine, machine, f"{path}, machine_info"),
        results=results,
    )


def _validate(model: Any, value: Any, where: str) -> Any:
    if isinstance(value, dict) and value.get("layout", SCHEMA) != SCHEMA:
        raise RunError(f"{where}: layout {value['layout']!r}, this version reads {SCHEMA}")
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise RunError(f"{where}: {place}: {first['msg']}, found {first['input']!r:.80}") from error
