"""Prints the longest kernels of saved runs, and why a step launches them."""

import argparse

from mpcore.commands.arguments import Commands, add_runs, positive
from mpcore.commands.reading import UNREADABLE, read_all

LONGEST = 5


def add(commands: Commands) -> None:
    """Adds the command."""
    what = "print the longest kernels of each workload's fastest step, and why they are there, as markdown"
    parser = commands.add_parser("kernels", help=what, description=f"{what[0].upper()}{what[1:]}. {UNREADABLE}")
    add_runs(parser, folders=True)
    parser.add_argument("-n", type=positive, default=LONGEST, metavar="COUNT", help=f"of each step (default: {LONGEST})")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Prints markdown. 0, or 4 where a file cannot be read."""
    from mpcore.report.documents import kernels_document
    from mpcore.report.render import render
    from mpcore.store import load

    runs, unreadable = read_all(options.runs, load)
    if runs:
        print(render(kernels_document(runs, options.n), "markdown"), end="")
    return 4 if unreadable else 0
