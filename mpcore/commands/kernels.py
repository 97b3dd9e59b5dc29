"""Prints the longest kernels of saved runs, and why a step launches them."""

import argparse

from mpcore.commands.arguments import Commands, add_runs, positive

LONGEST = 5


def add(commands: Commands) -> None:
    """Adds the command."""
    what = "print the longest kernels of each workload's fastest step, and why they are there, as markdown"
    parser = commands.add_parser("kernels", help=what)
    add_runs(parser)
    parser.add_argument("-n", type=positive, default=LONGEST, metavar="COUNT", help=f"of each step (default: {LONGEST})")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Prints markdown. Raises RunError."""
    from mpcore.report.documents import kernels_document
    from mpcore.report.render import render
    from mpcore.store import load

    print(render(kernels_document([load(path) for path in options.runs], options.n), "markdown"), end="")
    return 0
