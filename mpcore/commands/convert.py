"""Writes saved runs of older layouts in today's."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from mpcore.commands.arguments import Commands, add_runs
from mpcore.store import RunError


def add(commands: Commands) -> None:
    """Adds the command."""
    what = "write saved runs of older layouts in today's"
    parser = commands.add_parser("convert", help=what)
    add_runs(parser)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("-o", "--output", type=Path, metavar="DIR", help="write them there, under their names")
    where.add_argument("--in-place", action="store_true", help="write them over the old ones")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Converts one file after the other. Raises RunError at the first that cannot be; those before it are written. Nothing
    is written where a file would be lost."""
    from mpcore.store import convert_file

    for path, output in _outputs(options.runs, options.output):
        convert_file(path, output, _update_noise)
        print(f"written: {output}")
    return 0


def _outputs(paths: Sequence[Path], folder: Path | None) -> list[tuple[Path, Path]]:
    """Each file with the one to write; None for their own places. Raises RunError where a file would be written over another
    than its own older one."""
    found = [(path, path if folder is None else folder / path.name) for path in paths]
    first: dict[Path, Path] = {}
    for path, output in found:
        if folder is not None and output.exists():
            raise RunError(f"{output} is there already: {path} is not written over it")
        if (other := first.setdefault(output.resolve(), path)) is not path:
            raise RunError(f"{other} and {path} would both be written to {output}")
    return found


def _update_noise(workload: str) -> float:
    """What chance may make of the error of its updates; none where nobody knows the workload."""
    from mpcore.workloads import workloads

    return getattr(workloads[workload], "update_noise", 0.0) if workload in workloads.names() else 0.0
