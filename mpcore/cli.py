"""`python -m mpcore`"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mpcore.report.markdown import markdown
from mpcore.store import RunError, load


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0, or 4 for a file that cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m mpcore", description="Works with saved runs of the suite.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    report = commands.add_parser("report", help="print saved runs as markdown")
    report.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a file that --benchmark-autosave wrote")
    options = parser.parse_args(arguments)
    try:
        print("\n".join(markdown(load(path)) for path in options.runs))
    except RunError as error:
        print(f"mpcore: {error}", file=sys.stderr)
        return 4
    return 0
