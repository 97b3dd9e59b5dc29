"""`python -m mpcore`. Each command imports what it needs once it runs, so that all answer at once what they are for."""

import argparse
import gc
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from mpcore.records import Run
from mpcore.selection import add_options
from mpcore.store import KEEP, RunError, accept, all_accepted, load, load_either, load_published, write

T = TypeVar("T")
ROOTS = ("pyproject.toml", "pytest.toml", "pytest.ini", "tox.ini", "setup.cfg")


def root() -> Path:
    """The nearest folder from here upwards with one of pytest's files, which is what pytest takes for its root; or this one."""
    here = Path.cwd()
    found = next((folder for folder in (here, *here.parents) if any((folder / name).is_file() for name in ROOTS)), here)
    return Path() if found == here else found


BASELINES = root() / "baselines"
PUBLISHED = BASELINES / "published"
UNREADABLE = "A file that cannot be read is named, and the others are used; the exit code is 4 then."


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: that of the command, 4 for a file that cannot be used, 130 after Ctrl-C."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except RunError as error:
        print(f"mpcore: {error}", file=sys.stderr)
        return 4
    except KeyboardInterrupt:
        print("mpcore: interrupted", file=sys.stderr)
        return 128 + signal.SIGINT


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m mpcore", description="Works with saved runs of the suite.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    what = "saved runs as a page with plots, or as markdown"
    report = commands.add_parser("report", help=what, description=f"{what[0].upper()}{what[1:]}. {UNREADABLE}")
    report.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a file that --benchmark-autosave wrote")
    report.add_argument("-o", "--output", type=_page, metavar="FILE.html", help="write the page there, in place of markdown")
    report.add_argument("--plots", type=Path, metavar="DIR", help="write confusion matrices and pictures there, too")
    report.set_defaults(run=_report)
    _add_compare(commands)
    published = commands.add_parser("published", help="print saved runs beside published figures, as markdown")
    published.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a file that --benchmark-autosave wrote")
    figures = f"where the figures are (default: {PUBLISHED})"
    published.add_argument("--figures", type=Path, default=PUBLISHED, metavar="DIR", help=figures)
    published.set_defaults(run=_published)
    _add_baselines(commands)
    theory = commands.add_parser("theory", help="what becomes of small updates and gradients in each mode")
    theory.set_defaults(run=_theory)
    _add_ab(commands)
    _add_calibrate(commands)
    return parser


def _add_compare(commands: Any) -> None:
    what = "saved runs beside each other: across hardware, or what changed"
    description = (
        "Two runs of the same hardware: what changed from the first to the second. Any others, or with published figures: a "
        f"table for each figure, with the hardware across. {UNREADABLE}"
    )
    compare = commands.add_parser("compare", help=what, description=description)
    files = "a file that --benchmark-autosave wrote, or published figures"
    compare.add_argument("files", nargs="+", type=Path, metavar="FILE", help=files)
    output = "write it there, in place of text: markdown (.md), one figure a line (.csv) or a page (.html)"
    compare.add_argument("-o", "--output", type=_document, metavar="FILE", help=output)
    compare.set_defaults(run=_compare)


def _add_baselines(commands: Any) -> None:
    where = {"type": Path, "default": BASELINES, "metavar": "DIR", "help": f"where accepted runs are (default: {BASELINES})"}
    accepting = commands.add_parser("accept", help="make saved runs baselines, that later runs are compared with")
    accepting.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a file that --benchmark-autosave wrote")
    accepting.add_argument("--reason", required=True, metavar="TEXT", help="why they are what is expected from now on")
    overrule = "a case that failed and is accepted nevertheless, by its id, KIND:ID or its test; may be repeated"
    accepting.add_argument("--overrule", action="append", default=[], metavar="CASE", help=overrule)
    anew = (
        "a case, KIND:ID, or a pattern, that is expected to be as it is in these runs from now on, whatever older ones have of "
        "it; may be repeated; so is what is accepted though it is worse"
    )
    accepting.add_argument("--anew", action="append", default=[], metavar="CASES", help=anew)
    keep = f"baselines of one machine, the oldest are removed (default: {KEEP})"
    accepting.add_argument("--keep", type=_positive, default=KEEP, metavar="N", help=keep)
    accepting.add_argument("--baselines", **where)
    accepting.set_defaults(run=_accept)
    show = commands.add_parser("show", help="list the baselines")
    show.add_argument("--baselines", **where)
    show.set_defaults(run=_show)


def _add_ab(commands: Any) -> None:
    description = (
        "Times each case in base and in head, in pairs of fresh processes on this machine, until it is decided whether head is "
        "slower. BASE and HEAD are git revisions or folders (./NAME, where a folder is named like a revision). Without HEAD it "
        "is the working tree as it is, uncommitted changes included. With a Python of its own for either side BASE may be left "
        "out: then the same tree runs in two environments. A file of --mp-load that lies in the tree is each side's own."
    )
    codes = "exit code: 0 same or better, 1 worse (whatever else happened), 2 usage or failure, 3 undecided"
    ab = commands.add_parser("ab", help="base against head: is it slower?", description=description, epilog=codes)
    ab.add_argument("base", nargs="?", metavar="BASE", help="a git revision or a folder")
    ab.add_argument("head", nargs="?", metavar="HEAD", help="the same (default: the working tree)")
    for side in ("base", "head"):
        ab.add_argument(f"--{side}-python", metavar="PYTHON", help=f"what runs {side} (default: the Python that runs this)")
    ab.add_argument("--json", type=Path, metavar="FILE", help="write the result there, too")
    ab.add_argument("--markdown", type=Path, metavar="FILE", help="write the table there as markdown, too")
    add_options(ab.add_argument)
    ab.set_defaults(run=_ab)


def _add_calibrate(commands: Any) -> None:
    what = "how often the gate stops what is no slower, and how small a slowdown it finds"
    calibrate = commands.add_parser("calibrate", help=what, description=f"{what[0].upper()}{what[1:]}: simulated or measured.")
    simulating = calibrate.add_argument_group("simulated (the default)")
    traces = "recorded step times that the noise is fitted to, a file for each machine start (default: those of an H200)"
    simulating.add_argument("--traces", nargs="+", type=Path, metavar="FILE", help=traces)
    suites = "suites of 60 cases in which nothing is slower (default: 2000)"
    simulating.add_argument("--suites", type=_positive, default=2000, metavar="N", help=suites)
    measuring = calibrate.add_argument_group("measured: this folder's code against itself, as `ab` does")
    measuring.add_argument("--measure", action="store_true", help="measure; any option below implies it")
    handicap = "times longer that a step of the head is made to take; may be repeated (default: 1.02)"
    measuring.add_argument("--handicap", type=_handicap, action="append", metavar="TIMES", help=handicap)
    repeat = "comparisons for each handicap, and without one (default: 1)"
    measuring.add_argument("--repeat", type=_positive, metavar="N", help=repeat)
    add_options(measuring.add_argument)
    calibrate.set_defaults(run=_calibrate)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 on, found {text!r}")
    return int(text)


def _page(text: str) -> Path:
    if Path(text).suffix.lower() not in (".html", ".htm"):
        raise argparse.ArgumentTypeError(f"expected the name of an HTML file, such as report.html, found {text!r}")
    return Path(text)


def _document(text: str) -> Path:
    if Path(text).suffix.lower() not in (".md", ".csv", ".html"):
        raise argparse.ArgumentTypeError(f"expected a file that ends in .md, .csv or .html, found {text!r}")
    return Path(text)


def _report(options: argparse.Namespace) -> int:
    runs, unreadable = _opened(options.runs, load)
    if runs and options.output:
        from mpcore.report.html import page

        write({options.output: page(runs, unreadable)})
        print(f"written: {options.output}")
    elif runs:
        from mpcore.report.markdown import markdown

        print("\n".join(map(markdown, runs)))
    if runs and options.plots:
        from mpcore.report.plots import plots

        try:
            print("\n".join(f"![{path.stem}]({path})\n" for run in runs for path in plots(run, options.plots)))
        except OSError as error:
            raise RunError(f"cannot write {options.plots}: {error.strerror}") from error
    return 4 if unreadable else 0


def _compare(options: argparse.Namespace) -> int:
    from mpcore.report.compare import FORMATS, compare

    found, unreadable = _opened(options.files, load_either)
    runs = [each for each in found if isinstance(each, Run)]
    figures = [figure for each in found if not isinstance(each, Run) for figure in each]
    if not runs and figures:
        raise RunError("no run among these files: published figures are shown beside runs")
    if runs and options.output:
        write({options.output: FORMATS[options.output.suffix.lower()](compare(runs, figures, unreadable))})
        print(f"written: {options.output}")
    elif runs:
        print(FORMATS[""](compare(runs, figures)), end="")
    return 4 if unreadable else 0


def _opened(paths: Sequence[Path], opening: Callable[[Path], T]) -> tuple[list[T], list[str]]:
    """What can be read, and why the other files cannot, which is said at once."""
    found, unreadable = [], []
    gc.disable()  # it would look again and again through a million records, which all stay to the end: they are frozen
    try:
        for path in paths:
            try:
                found.append(opening(path))
            except RunError as error:
                print(f"mpcore: {error}", file=sys.stderr)
                unreadable.append(str(error))
    finally:
        gc.freeze()
        gc.enable()
    return found, unreadable


def _published(options: argparse.Namespace) -> int:
    from mpcore.report.beside import beside

    print(beside([load(path) for path in options.runs], load_published(options.figures)), end="")
    return 0


def _accept(options: argparse.Namespace) -> int:
    from mpcore.report.baselines import changes

    new, old = accept(
        options.runs,
        options.baselines,
        options.reason,
        overrule=options.overrule,
        anew=options.anew,
        keep=options.keep,
        announce=lambda run, before: print(changes(run, before)),
    )
    print("\n".join([*(f"accepted: {path}" for path in new), *(f"removed: {path}" for path in old)]))
    return 0


def _show(options: argparse.Namespace) -> int:
    from mpcore.report.baselines import listing

    baselines = all_accepted(options.baselines)
    print(listing(baselines) if baselines else f"no accepted runs in {options.baselines}\n", end="")
    return 0


def _theory(_: argparse.Namespace) -> int:
    from mpcore.hardware import default_device
    from mpcore.theory import theory

    print(theory(default_device()), end="")
    return 0


def _ab(options: argparse.Namespace) -> int:
    from mpcore.ab.command import run

    return run(options)


def _calibrate(options: argparse.Namespace) -> int:
    from mpcore.calibrate.command import run

    return run(options)


def _handicap(text: str) -> float:
    from mpcore.calibrate.command import handicap

    return handicap(text)
