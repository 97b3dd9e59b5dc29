"""`python -m mpcore`"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mpcore.report.baselines import changes, listing
from mpcore.report.beside import beside
from mpcore.report.markdown import markdown
from mpcore.report.plots import plots
from mpcore.store import KEEP, RunError, accept, all_accepted, load, load_published

BASELINES = Path("baselines")
PUBLISHED = BASELINES / "published"


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
    _add_baselines(commands)
    theory = commands.add_parser("theory", help="what becomes of small updates and gradients in each mode")
    theory.set_defaults(run=_theory)
    return parser


def _add_baselines(commands: Any) -> None:
    where = {"type": Path, "default": BASELINES, "metavar": "DIR", "help": f"where accepted runs are (default: {BASELINES})"}
    accepting = commands.add_parser("accept", help="make saved runs baselines, that later runs are compared with")
    accepting.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a file that --benchmark-autosave wrote")
    accepting.add_argument("--reason", required=True, metavar="TEXT", help="why they are what is expected from now on")
    overrule = "a case that failed and is accepted nevertheless, by its id, KIND:ID or its test; may be repeated"
    accepting.add_argument("--overrule", action="append", default=[], metavar="CASE", help=overrule)
    keep = f"baselines of one machine, the oldest are removed (default: {KEEP})"
    accepting.add_argument("--keep", type=_positive, default=KEEP, metavar="N", help=keep)
    accepting.add_argument("--baselines", **where)
    accepting.set_defaults(run=_accept)
    show = commands.add_parser("show", help="list the baselines")
    show.add_argument("--baselines", **where)
    show.set_defaults(run=_show)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 on, found {text!r}")
    return int(text)


def _report(options: argparse.Namespace) -> int:
    runs = [load(path) for path in options.runs]
    drawn = [f"![{path.stem}]({path})\n" for run in runs for path in plots(run, options.plots)] if options.plots else []
    print("\n".join([*map(markdown, runs), *drawn]))
    return 0


def _published(options: argparse.Namespace) -> int:
    print(beside([load(path) for path in options.runs], load_published(options.figures)), end="")
    return 0


def _accept(options: argparse.Namespace) -> int:
    new, old = accept(
        options.runs,
        options.baselines,
        options.reason,
        overrule=options.overrule,
        keep=options.keep,
        announce=lambda run, before: print(changes(run, before)),
    )
    print("\n".join([*(f"accepted: {path}" for path in new), *(f"removed: {path}" for path in old)]))
    return 0


def _show(options: argparse.Namespace) -> int:
    baselines = all_accepted(options.baselines)
    print(listing(baselines) if baselines else f"no accepted runs in {options.baselines}\n", end="")
    return 0


def _theory(_: argparse.Namespace) -> int:
    from mpcore.hardware import default_device
    from mpcore.theory import theory

    print(theory(default_device()), end="")
    return 0
