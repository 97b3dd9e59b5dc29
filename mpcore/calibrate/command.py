"""`python -m mpcore calibrate`: simulated, unless an option of measuring is given."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from mpcore.calibrate.fit import fit, read
from mpcore.calibrate.measure import measured
from mpcore.calibrate.noise import H200
from mpcore.calibrate.tables import simulated
from mpcore.records import Selection
from mpcore.runner import RunnerError
from mpcore.selection import SelectionError, selection_of

PLANTED = 1.02


def run(options: argparse.Namespace) -> int:
    """Returns the exit code: 0, or 2 where nothing can be measured. Raises RunError for traces that cannot be used."""
    try:
        for paragraph in _paragraphs(options):
            print(paragraph, end="\n\n", flush=True)
    except (SelectionError, RunnerError) as error:
        print(f"mpcore: {error}", file=sys.stderr)
        return 2
    return 0


def handicap(text: str) -> float:
    """How many times longer. Raises ArgumentTypeError."""
    try:
        times = float(text)
    except ValueError:
        times = 0.0
    if not 1 < times <= 10:
        raise argparse.ArgumentTypeError(f"expected a number above 1 and at most 10, such as 1.02, found {text!r}")
    return times


def _paragraphs(options: argparse.Namespace) -> Iterator[str]:
    selection = selection_of(options)
    if not (options.measure or options.handicap or options.repeat or selection != Selection()):
        return simulated(fit(read(options.traces)) if options.traces else H200, options.suites)
    if options.traces:
        raise SelectionError("--traces is for the simulation: expected none where it is measured")
    return measured(Path.cwd(), selection, options.handicap or [PLANTED], options.repeat or 1, _progress)


def _progress(line: str) -> None:
    print(f"mpcore: {line}", file=sys.stderr, flush=True)
