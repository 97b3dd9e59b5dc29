"""Writes saved runs of older layouts in today's."""

import argparse
from pathlib import Path

from mpcore.commands.arguments import Commands, add_runs


def add(commands: Commands) -> None:
    """Adds the command."""
    what = "write saved runs of older layouts in today's"
    parser = commands.add_parser("convert", help=what)
    add_runs(parser)
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help="write them there, in place of over the old ones")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Converts one file after the other. Raises RunError at the first that cannot be; those before it are written."""
    from mpcore.store import convert_file

    for path in options.runs:
        output = path if options.output is None else options.output / path.name
        convert_file(path, output, _update_noise)
        print(f"written: {output}")
    return 0


def _update_noise(workload: str) -> float:
    """What chance may make of the error of its updates; none where nobody knows the workload."""
    from mpcore.workloads import workloads

    return workloads[workload].update_noise if workload in workloads.names() else 0.0
