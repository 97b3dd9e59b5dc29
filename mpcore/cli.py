"""`python -m mpcore`"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mpcore.report.beside import beside
from mpcore.report.markdown import markdown
from mpcore.report.plots import plots
from mpcore.store import RunError, load, load_published

PUBLISHED = Path("baselines", "published")


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: that of the command, or 4 for a file that cannot be used."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except RunError as error:
        print(f"mpcore: {error}", file=sys.stderr)
        return 4


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m mpcore", description="Works with saved runs of the suite.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    report = commands.add_parser("report", help="print saved runs as markdown")
    report.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a file that --benchmark-autosave wrote")
    report.add_argument("--plots", type=Path, metavar="DIR", help="write confusion matrices and pictures there, too")
    report.set_defaults(run=_report)
    published = commands.add_parser("published", help="print saved runs beside published figures, as markdown")
    published.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a file that --benchmark-autosave wrote")
    figures = f"where the figures are (default: {PUBLISHED})"
    published.add_argument("--figures", type=Path, default=PUBLISHED, metavar="DIR", help=figures)
    published.set_defaults(run=_published)
    theory = commands.add_parser("theory", help="what becomes of small updates and gradients in each mode")
    theory.set_defaults(run=_theory)
    return parser


def _report(options: argparse.Namespace) -> int:
    runs = [load(path) for path in options.runs]
    drawn = [f"![{path.stem}]({path})\n" for run in runs for path in plots(run, options.plots)] if options.plots else []
    print("\n".join([*map(markdown, runs), *drawn]))
    return 0


def _published(options: argparse.Namespace) -> int:
    print(beside([load(path) for path in options.runs], load_published(options.figures)), end="")
    return 0


def _theory(_: argparse.Namespace) -> int:
    from mpcore.hardware import default_device
    from mpcore.theory import theory

    print(theory(default_device()), end="")
    return 0
