"""Shows saved runs beside each other: across hardware, or what changed."""

import argparse
from pathlib import Path

from mpcore.commands.arguments import Commands, ending_in
from mpcore.commands.output import show
from mpcore.commands.reading import UNREADABLE, read_all

FORMATS = {".md": "markdown", ".csv": "csv", ".html": "html"}


def add(commands: Commands) -> None:
    """Adds the command."""
    what = "saved runs beside each other: across hardware, or what changed"
    description = (
        "Two runs of the same hardware: what changed from the first to the second. Any others, or with published figures: how "
        "many times as fast as the first hardware each other one is. A table for each figure follows, with the hardware "
        f"across. {UNREADABLE}"
    )
    parser = commands.add_parser("compare", help=what, description=description)
    files = "a file that --benchmark-autosave wrote, published figures, or a folder of them"
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help=files)
    output = "write it there, in place of text: markdown (.md), one figure a line (.csv) or a page (.html)"
    parser.add_argument("-o", "--output", type=ending_in(*FORMATS), metavar="FILE", help=output)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """0, or 4 where a file cannot be read. Raises RunError where no run is among the files, and for what cannot be written."""
    from mpcore.records import Run
    from mpcore.report.documents import comparison_document
    from mpcore.report.render import render
    from mpcore.store import RunError, load_either, write

    found, unreadable = read_all(options.files, load_either)
    runs = [each for each in found if isinstance(each, Run)]
    figures = [figure for each in found if not isinstance(each, Run) for figure in each]
    if not runs and not unreadable:
        raise RunError("no run among these files: published figures are shown beside runs")
    if runs and options.output:
        document = comparison_document(runs, figures, unreadable)
        write({options.output: render(document, FORMATS[options.output.suffix.lower()])})
        print(f"written: {options.output}")
    elif runs:
        show(comparison_document(runs, figures))
    return 4 if unreadable else 0
