"""Shows saved runs as a page with plots, or as markdown."""

import argparse
from pathlib import Path

from mpcore.commands.arguments import Commands, add_runs, ending_in
from mpcore.commands.reading import UNREADABLE, read_all


def add(commands: Commands) -> None:
    """Adds the command."""
    what = "saved runs as a page with plots, or as markdown"
    parser = commands.add_parser("report", help=what, description=f"{what[0].upper()}{what[1:]}. {UNREADABLE}")
    add_runs(parser, folders=True)
    parser.add_argument(
        "-o",
        "--output",
        type=ending_in(".html", ".htm"),
        metavar="FILE.html",
        help="write the page there, in place of markdown",
    )
    parser.add_argument("--plots", type=Path, metavar="DIR", help="write confusion matrices and pictures there, too")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """0, or 4 where a file cannot be read. Raises RunError where nothing can be written."""
    from mpcore.report.documents import races_document, run_document
    from mpcore.report.render import render
    from mpcore.store import RunError, load, write

    runs, unreadable = read_all(options.runs, load)
    if runs and options.output:
        from mpcore.report.page import page

        write({options.output: page(runs, unreadable)})
        print(f"written: {options.output}")
    elif runs:
        together = races_document(runs)
        print("\n".join(render(each, "markdown") for each in (*map(run_document, runs), together) if each))
    if runs and options.plots:
        from mpcore.report.pictures import pictures

        try:
            print("\n".join(f"![{path.stem}]({path})\n" for run in runs for path in pictures(run, options.plots)))
        except OSError as error:
            raise RunError(f"cannot write {options.plots}: {error.strerror or error}") from error
    return 4 if unreadable else 0
