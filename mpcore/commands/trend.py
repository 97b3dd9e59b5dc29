"""Where figures changed over many runs, and between which commits."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mpcore.commands.arguments import Commands, ending_in
from mpcore.commands.output import show, tell
from mpcore.commands.reading import UNREADABLE, read_all
from mpcore.store import RunError

if TYPE_CHECKING:
    from mpcore.records import RunFigures
    from mpcore.trend import Place


def add(commands: Commands) -> None:
    """Adds the command."""
    what = "where figures changed over many runs, and between which commits"
    description = (
        f"{what[0].upper()}{what[1:]}. A folder holds a small file for each run, which --append adds, or saved runs. "
        f"Nothing is judged. {UNREADABLE}"
    )
    parser = commands.add_parser("trend", help=what, description=description)
    folders = (
        "where histories are, or saved runs; with folders of several machines in it. Or a URL of fsspec's: s3://bucket/name"
    )
    parser.add_argument("folders", nargs="+", metavar="FOLDER", help=folders)
    adds = "saved runs whose figures are added to the first folder before"
    parser.add_argument("--append", nargs="+", type=Path, default=[], metavar="RUN", help=adds)
    figure = "the name of a figure, such as eager_ms; may be repeated (default: those that repeat from run to run)"
    parser.add_argument("--figure", action="append", metavar="NAME", help=figure)
    parser.add_argument("-o", "--output", type=ending_in(".md"), metavar="FILE.md", help="write it there, too, as markdown")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """0, or 4 where a file cannot be read or a folder holds none. Raises RunError for a figure that no run has, and for what
    cannot be written."""
    from mpcore.report.render import render
    from mpcore.store import check_writable, load, write
    from mpcore.trend import append, changes, places, series_of
    from mpcore.trend.document import trend_document
    from mpcore.trend.figures import USUAL

    if options.output:
        check_writable(options.output)
    saved, unreadable = read_all(options.append, load)
    with places(options.folders) as folders:
        first = folders[0]
        added = append(first.path, saved)
        first.take(added)
        for path in added:
            tell(f"added: {first.named(path)}")
        found, bad = _read(folders)
    if not found:
        return 4
    series = series_of(found, _known(options.figure, found) if options.figure else USUAL)
    document = trend_document(found, series, changes(series))
    show(document)
    if options.output:
        write({options.output: render(document, "markdown")})
    return 4 if unreadable or bad else 0


def _read(folders: "Sequence[Place]") -> "tuple[list[RunFigures], list[str]]":
    """What can be read of all, and why the rest cannot."""
    from mpcore.trend import read_figures

    found, unreadable = [], []
    for place in folders:
        read, bad = read_all([place.path], read_figures, place.named)
        found += read
        unreadable += bad
    return found, unreadable


def _known(names: Sequence[str], runs: "Sequence[RunFigures]") -> Sequence[str]:
    """Raises RunError for a figure that no run has."""
    known = {name: None for run in runs for case in run.cases for name in case.figures}
    for name in names:
        if name not in known:
            raise RunError(f"no run has a figure {name!r}: expected one of {', '.join(sorted(known))}")
    return names
