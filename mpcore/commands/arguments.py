"""Arguments that several commands take, and what they mean."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mpcore.project import ProjectError, configured_files, project_root
from mpcore.records import Selection
from mpcore.selection import selection_of
from mpcore.system import unusable

if TYPE_CHECKING:
    from mpcore.gate import Policy

Commands = Any
"""What add_subparsers of argparse returns, a class that has no public name."""


def add_runs(parser: argparse.ArgumentParser, folders: bool = False) -> None:
    """RUN ..., as `options.runs`. folders: for a command that reads all runs of a folder, too."""
    what = f"a file that --benchmark-autosave wrote{', or a folder of them' if folders else ''}"
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help=what)


def add_baselines(parser: argparse.ArgumentParser) -> None:
    """--baselines DIR, for `baselines_of` and `baselines_to_make`."""
    where = "where accepted runs are (default: baselines, in the root of the project)"
    parser.add_argument("--baselines", type=Path, metavar="DIR", help=where)


def baselines_of(options: argparse.Namespace) -> Path:
    """The folder of accepted runs. Raises ProjectError where the one that is given is not there, or as `baselines_to_make`
    does."""
    given: Path | None = options.baselines
    if given is not None and not given.is_dir():
        raise ProjectError(f"--baselines {str(given)!r}: expected a folder, such as one that python -m mpcore accept made")
    return baselines_to_make(options)


def baselines_to_make(options: argparse.Namespace) -> Path:
    """The folder of accepted runs, which need not be there yet. Raises ProjectError where the project's configuration cannot be
    read, RunError for the folder of one machine."""
    from mpcore.store import check_folder

    given: Path | None = options.baselines
    folder = project_root() / "baselines" if given is None else given
    check_folder(folder)
    return folder


def check_system() -> None:
    """To be called before torch is imported. Raises ProjectError where nothing can be measured."""
    if reason := unusable():
        raise ProjectError(reason)


def selected(options: argparse.Namespace, *, spreads: bool = False) -> Selection:
    """What the options select, with the files that pytest loads here. spreads: see `selection_of`. Raises SelectionError, and
    ProjectError where pytest's configuration cannot be read."""
    selection = selection_of(options, spreads=spreads)
    configured = (str(path.resolve()) for path in configured_files())
    return selection.model_copy(update={"load": tuple(dict.fromkeys([*configured, *selection.load]))})


def policy_of(options: argparse.Namespace) -> "Policy":
    """Margins and caps of the project, under those of --mp-margin where the command has it. Raises ProjectError."""
    from mpcore.gate import PolicyError, load_policy

    try:
        return load_policy(project_root() / "pyproject.toml", getattr(options, "mp_margin", ()))
    except PolicyError as error:
        raise ProjectError(str(error)) from error


def ending_in(*suffixes: str) -> Callable[[str], Path]:
    """A type of argparse's: the path of a file with one of these."""

    def path_of(text: str) -> Path:
        if Path(text).suffix.lower() not in suffixes:
            expected = " or ".join(filter(None, [", ".join(suffixes[:-1]), suffixes[-1]]))
            raise argparse.ArgumentTypeError(f"expected a file that ends in {expected}, found {text!r}")
        return Path(text)

    return path_of


def positive(text: str) -> int:
    """A type of argparse's."""
    return _whole(text, 1)


def not_negative(text: str) -> int:
    """A type of argparse's."""
    return _whole(text, 0)


def _whole(text: str, least: int) -> int:
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"expected a whole number from {least} on, found {text!r}")
    return int(text)
