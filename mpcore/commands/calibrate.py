"""How often the gate stops what is no slower, and how small a slowdown it finds: simulated or measured."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mpcore.commands.arguments import Commands, policy_of, positive
from mpcore.commands.output import tell
from mpcore.project import ProjectError
from mpcore.records import Selection
from mpcore.selection import SelectionError, add_options, selection_of

if TYPE_CHECKING:
    from mpcore.report.document import Section

SLOWDOWN = 1.02


def add(commands: Commands) -> None:
    """Adds the command."""
    what = "how often the gate stops what is no slower, and how small a slowdown it finds"
    parser = commands.add_parser("calibrate", help=what, description=f"{what[0].upper()}{what[1:]}: simulated or measured.")
    simulating = parser.add_argument_group("simulated (the default)")
    traces = "recorded step times that the noise is fitted to, a file for each machine start (default: those of an H200)"
    simulating.add_argument("--traces", nargs="+", type=Path, metavar="FILE", help=traces)
    suites = "suites of 60 cases in which nothing is slower (default: 2000)"
    simulating.add_argument("--suites", type=positive, default=2000, metavar="N", help=suites)
    measuring = parser.add_argument_group("measured: this folder's code against itself, as `ab` does")
    measuring.add_argument("--measure", action="store_true", help="measure; any option below implies it")
    slowdown = f"times longer that a step of the head is made to take; may be repeated (default: {SLOWDOWN:g})"
    measuring.add_argument("--slowdown", type=_slowdown, action="append", metavar="TIMES", help=slowdown)
    repeat = "comparisons for each slowdown, and without one (default: 1)"
    measuring.add_argument("--repeat", type=positive, metavar="N", help=repeat)
    add_options(measuring.add_argument)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Prints each part as soon as it is there, as markdown. 0, or 2 where nothing can be measured. Raises RunError for traces
    that cannot be used."""
    from mpcore.report.document import Document
    from mpcore.report.render import render
    from mpcore.runner import RunnerError

    try:
        for section in _sections(options):
            print(render(Document("", [section]), "markdown"), flush=True)
    except (ProjectError, SelectionError, RunnerError) as error:
        tell(str(error))
        return 2
    return 0


def _sections(options: argparse.Namespace) -> "Iterator[Section]":
    from mpcore.calibrate.fit import fit, read
    from mpcore.calibrate.measured import measured
    from mpcore.calibrate.noise import H200
    from mpcore.calibrate.tables import simulated

    selection = selection_of(options)
    if not (options.measure or options.slowdown or options.repeat or selection != Selection()):
        return simulated(fit(read(options.traces)) if options.traces else H200, options.suites)
    if options.traces:
        raise SelectionError("--traces is for the simulation: expected none where it is measured")
    slowdowns = options.slowdown or [SLOWDOWN]
    return measured(Path.cwd(), selection, policy_of(options), slowdowns, options.repeat or 1, tell)


def _slowdown(text: str) -> float:
    try:
        times = float(text)
    except ValueError:
        times = 0.0
    if not 1 < times <= 10:
        raise argparse.ArgumentTypeError(f"expected a number above 1 and at most 10, such as 1.02, found {text!r}")
    return times
