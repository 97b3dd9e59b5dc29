"""Workloads and modes of a user's own, from the files that `--mp-load` and `mp_load` name."""

from pathlib import Path

import pytest

from mpcore import selection
from mpcore.selection import SelectionError


def load(path: Path) -> None:
    """Raises UsageError for a file that cannot be imported, or that registers nothing."""
    try:
        selection.load(path)
    except SelectionError as error:
        raise pytest.UsageError(str(error)) from error


def named(config: pytest.Config) -> tuple[str, ...]:
    """The files, each once."""
    on_command_line = [config.invocation_params.dir / path for path in config.getoption("mp_load")]
    return tuple(dict.fromkeys(str(Path(p).resolve()) for p in [*config.getini("mp_load"), *on_command_line]))
