"""Lists the baselines."""

import argparse

from mpcore.commands.arguments import Commands, add_baselines, baselines_of
from mpcore.commands.output import show


def add(commands: Commands) -> None:
    """Adds the command."""
    parser = commands.add_parser("show", help="list the baselines")
    add_baselines(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Prints the accepted runs of each machine. Raises RunError, and ProjectError for a folder that is not there."""
    from mpcore.report.documents import baselines_document
    from mpcore.store import all_accepted

    folder = baselines_of(options)
    baselines = all_accepted(folder)
    if baselines:
        show(baselines_document(baselines))
    else:
        print(f"no accepted runs in {folder}")
    return 0
