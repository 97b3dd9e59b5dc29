"""Prints saved runs beside published figures."""

import argparse
from pathlib import Path

from mpcore.commands.arguments import Commands, add_runs
from mpcore.commands.reading import UNREADABLE, read_all
from mpcore.project import project_root
from mpcore.store import RunError


def add(commands: Commands) -> None:
    """Adds the command."""
    what = "print saved runs beside published figures, as markdown"
    parser = commands.add_parser("published", help=what, description=f"{what[0].upper()}{what[1:]}. {UNREADABLE}")
    add_runs(parser, folders=True)
    figures = "where the figures are (default: published, in the root of the project)"
    parser.add_argument("--figures", type=Path, metavar="DIR", help=figures)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Prints markdown. 0, or 4 where a file cannot be read. Raises RunError where the figures cannot be read."""
    from mpcore.report.documents import published_document
    from mpcore.report.render import render
    from mpcore.store import load, load_published

    figures = load_published(_folder(options.figures))
    runs, unreadable = read_all(options.runs, load)
    if runs:
        print(render(published_document(runs, figures), "markdown"), end="")
    return 4 if unreadable else 0


def _folder(given: Path | None) -> Path:
    """Of the figures. They come with the project's sources, and not with the package that is installed. Raises RunError."""
    folder = project_root() / "published" if given is None else given
    if given is None and not folder.is_dir():
        raise RunError(f"no folder {str(folder)!r} of published figures: --figures DIR says where one is")
    return folder
