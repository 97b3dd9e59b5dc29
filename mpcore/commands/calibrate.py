"""How often the gate stops what is no slower, how small a slowdown it finds, and which faults: simulated or measured."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mpcore.commands.arguments import Commands, baselines_of, baselines_to_make, check_system, policy_of, positive, selected
from mpcore.commands.output import tell
from mpcore.project import ProjectError
from mpcore.records import Selection
from mpcore.selection import SelectionError, add_label_option, add_options, label_of, selection_of

if TYPE_CHECKING:
    from mpcore.report.document import Section

SLOWDOWN = 1.02
OWN = Path("baselines of the project")
"""What --baselines without a folder is."""


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
    fitting = parser.add_argument_group("fitted to accepted runs of one code, an A/A")
    folder = "where they are (default: baselines, in the root of the project): how far they differ, what is undecided of them"
    fitting.add_argument("--baselines", nargs="?", type=Path, const=OWN, metavar="DIR", help=folder)
    writes = "keep what is found beside them: the gate judges by it from then on"
    fitting.add_argument("--write", action="store_true", help=writes)
    planting = parser.add_argument_group("planted faults, by this machine: would a lost accuracy or a wrong gradient be seen?")
    faults = (
        "train the selected workloads and modes with planted faults, and make gradients wrong, tensor by tensor. --write keeps "
        "what is found in the folder of --baselines"
    )
    planting.add_argument("--sensitivity", action="store_true", help=faults)
    add_label_option(planting.add_argument)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Prints each part as soon as it is there, as markdown. 0, or 2 where nothing can be measured. Raises RunError for traces
    and accepted runs that cannot be used."""
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
    from mpcore.calibrate.runs import KINDS
    from mpcore.calibrate.tables import simulated
    from mpcore.gate import SHIPPED

    selection = selection_of(options)
    if options.sensitivity:
        check_system()
        return _proved(options, selected(options))
    measuring = options.measure or options.slowdown or options.repeat or selection != Selection()
    given = {"--traces": options.traces, "--baselines": options.baselines, "a measurement": measuring}
    named = [name for name, value in given.items() if value]
    if len(named) > 1:
        raise SelectionError(f"{' and '.join(named)}: expected one of them")
    if options.write and not options.baselines:
        raise SelectionError("--write keeps what --baselines finds: expected both")
    if options.baselines:
        return _fitted(options)
    if measuring:
        check_system()
        slowdowns = options.slowdown or [SLOWDOWN]
        return measured(Path.cwd(), selected(options), policy_of(options), slowdowns, options.repeat or 1, tell)
    kinds = {name: (SHIPPED[name], noise) for name, noise in KINDS.items()}
    return simulated(fit(read(options.traces)) if options.traces else H200, kinds, options.suites)


def _fitted(options: argparse.Namespace) -> "Iterator[Section]":
    """A kind of GPU after the other. Raises RunError at the end for those with too few runs."""
    from mpcore.calibrate.leave_one_out import fit_section, left_out_section
    from mpcore.calibrate.runs import fit_runs, joined_parts
    from mpcore.calibrate.tables import simulated_runs
    from mpcore.store import RunError, all_accepted, write_calibration

    options.baselines = None if options.baselines == OWN else options.baselines
    folder = baselines_of(options)
    refused = []
    accepted = all_accepted(folder)
    if not accepted:
        raise RunError(f"no accepted runs in {folder}")
    for runs in map(joined_parts, accepted.values()):
        try:
            found = fit_runs(runs)
        except RunError as error:
            refused.append(str(error))
            continue
        yield fit_section(found)
        yield left_out_section(runs)
        yield from simulated_runs({found.calibration.hardware: (found.calibration, found.noise)}, options.suites)
        if options.write:
            tell(f"written: {write_calibration(folder, found.calibration)}")
    if refused:
        raise RunError("; ".join(refused))


def _proved(options: argparse.Namespace, selection: Selection) -> "Iterator[Section]":
    """Raises SelectionError for an option of the others, and what is wrong with the selection."""
    from mpcore.calibrate.sensitivity import SEEDS, prove
    from mpcore.data import DataError
    from mpcore.device.machine import probe
    from mpcore.matrix import cases, check, device_of, source_of
    from mpcore.measure import Bench
    from mpcore.records import Sensitivities
    from mpcore.store import add_sensitivities
    from mpcore.workloads import WorkloadError

    if options.traces or options.measure or options.slowdown or options.repeat:
        raise SelectionError("--sensitivity plants faults of its own: expected no traces, and no slowdown")
    options.baselines = None if options.baselines == OWN else options.baselines
    folder = baselines_to_make(options)
    check(selection)
    device, label = device_of(selection), label_of(options)
    bench = Bench(device, source_of(selection), seeds=range(SEEDS))
    eager = selection.model_copy(update={"executions": ("eager",)})  # a graph has no steps to skip
    runnable = [case for case, reason in cases(eager, device) if reason is None]
    try:
        bench.check(runnable)
    except (DataError, WorkloadError) as error:
        raise SelectionError(str(error)) from error

    def keep(found: Sensitivities) -> None:
        if options.write:
            tell(f"written: {add_sensitivities(folder, found)}")

    return prove(bench, runnable, probe(device, label).key, keep, tell, selection.workloads)


def _slowdown(text: str) -> float:
    try:
        times = float(text)
    except ValueError:
        times = 0.0
    if not 1 < times <= 10:
        raise argparse.ArgumentTypeError(f"expected a number above 1 and at most 10, such as 1.02, found {text!r}")
    return times
