"""The project that a command runs in, as pytest finds it: its root folder, and the files that its configuration loads."""

import shlex
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import iniconfig

CONFIGURATIONS = ("pytest.toml", ".pytest.toml", "pytest.ini", ".pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg")
"""Files that pytest looks for, in its order."""


class ProjectError(ValueError):
    """A setting of the project that cannot be used; the message names it."""


def project_root() -> Path:
    """The nearest folder from here upwards with a configuration of pytest; else with a pyproject.toml; else this folder. That
    is the empty path, so that the names of files in it stay short. Raises ProjectError for a file that cannot be read."""
    here = Path.cwd()
    configuration = _configuration(here)
    if configuration is not None:
        root = configuration[0].parent
    else:
        root = next((folder for folder in (here, *here.parents) if (folder / "pyproject.toml").is_file()), here)
    return Path() if root == here else root


def configured_files() -> tuple[Path, ...]:
    """The files that pytest's option `mp_load` names, which are relative to where it is written. Raises ProjectError for a
    configuration that cannot be read."""
    configuration = _configuration(Path.cwd())
    if configuration is None:
        return ()
    path, options = configuration
    names = options.get("mp_load", [])
    return tuple(path.parent / name for name in (shlex.split(names) if isinstance(names, str) else names))


def _configuration(here: Path) -> tuple[Path, Mapping[str, Any]] | None:
    """The file that pytest reads, and its options."""
    for folder in (here, *here.parents):
        for name in CONFIGURATIONS:
            path = folder / name
            if path.is_file() and (options := _options(path)) is not None:
                return path, options
    return None


def _options(path: Path) -> Mapping[str, Any] | None:
    """None where a file holds none for pytest, which takes a file of its own even so."""
    own = path.stem.removeprefix(".") == "pytest"
    try:
        found = _of_toml(path, own) if path.suffix == ".toml" else _of_ini(path)
    except (OSError, ValueError, AttributeError, iniconfig.ParseError) as error:
        raise ProjectError(f"cannot read {path}: {error}") from error
    return {} if found is None and own else found


def _of_toml(path: Path, own: bool) -> Mapping[str, Any] | None:
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    table: dict[str, Any] = content if own else content.get("tool", {})
    options: dict[str, Any] = table.get("pytest", {})
    native = {name: value for name, value in options.items() if name != "ini_options"}
    return native or options.get("ini_options")


def _of_ini(path: Path) -> Mapping[str, Any] | None:
    sections = iniconfig.IniConfig(path)
    name = "tool:pytest" if path.name == "setup.cfg" else "pytest"
    return dict(sections[name].items()) if name in sections else None
