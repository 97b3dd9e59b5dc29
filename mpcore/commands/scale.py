"""How steps scale over the GPUs of this host: weak and strong scaling, what the time is spent on, and what ranks have in
common."""

import argparse
import math
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mpcore.commands.arguments import Commands, baselines_to_make, not_negative, policy_of, positive, selected
from mpcore.commands.output import show, tell
from mpcore.records import Run
from mpcore.selection import SelectionError, add_label_option, add_margin_option, add_options, label_of
from mpcore.system import unusable

if TYPE_CHECKING:
    import torch

    from mpcore.parallel.kept import Kept
    from mpcore.parallel.plan import Order

MINUTES = 10
NOT_SPREAD = "No step was spread: expected two GPUs or more, and --mp-gpus that names so many."


def add(commands: Commands) -> None:
    """Adds the command."""
    what = "how steps scale over the GPUs of this host"
    description = (
        f"{what[0].upper()}{what[1:]}: with the same batch on each GPU (weak), and with one batch shared by all (strong). "
        "One GPU of the same run is what they are compared with. It also shows what the time is spent on, the slowest rank, "
        "and what ranks have in common. Without options: large workloads by ddp and fsdp, as graphs and launched by Python, "
        "on 1, 2, 4 and so on of the GPUs. On a CPU as many processes at the tiny size, as a test of the code. What the time "
        "was too short for is named. Under torchrun, on one host or several, its ranks alone are used. What is left of the "
        "time goes into fresh launches of one case, which show how far two runs may differ."
    )
    codes = "exit code: 0 all that was measured passed, 1 something failed, 2 a usage error or nothing was measured, 4 a file"
    parser = commands.add_parser("scale", help=what, description=description, epilog=codes)
    minutes = f"in which all is done (default: {MINUTES})"
    parser.add_argument("--minutes", type=positive, default=MINUTES, metavar="N", help=minutes)
    launches = "fresh launches of one case at most (default: as many as the time allows)"
    parser.add_argument("--launches", type=not_negative, default=math.inf, metavar="N", help=launches)
    saved = "where the run is saved, after each case (default: scaling.json)"
    parser.add_argument("--json", type=Path, default=Path("scaling.json"), metavar="FILE", help=saved)
    add_margin_option(parser.add_argument)
    add_label_option(parser.add_argument)
    add_options(parser.add_argument)
    parser.set_defaults(run=run, baselines=None)


def run(options: argparse.Namespace) -> int:
    """Prints tables of what was measured, and tells on standard error how far it is. Raises RunError for a file that cannot be
    written."""
    if reason := unusable():
        tell(reason)
        return 2
    from mpcore.device.agreement import started
    from mpcore.runner import RunnerError

    try:
        found = _on_these_ranks(options, ranks) if (ranks := started()) else _launched(options)
    except (SelectionError, RunnerError) as error:
        tell(str(error))
        return 2
    if found is None:
        return 0
    _show(found, options.json)
    return 2 if not found.results else int(bool(found.failed) or not all(result.passed for result in found.results))


def _launched(options: argparse.Namespace) -> Run:
    from mpcore.matrix import check, device_of
    from mpcore.parallel.plan import completed, plan
    from mpcore.parallel.scale import Scale
    from mpcore.signals import raising_exit

    selection = selected(options, spreads=True)
    if ":" in (selection.device or ""):
        raise SelectionError(f"--mp-device {selection.device!r} is one GPU: expected cuda, and CUDA_VISIBLE_DEVICES for a part")
    check(selection)
    device = device_of(selection)
    selection = completed(selection, device)
    kept = _kept(options, plan(selection, device), device)
    with raising_exit():
        return Scale(selection, kept, 60.0 * options.minutes, options.launches, tell).measure()


def _on_these_ranks(options: argparse.Namespace, ranks: int) -> Run | None:
    """On those that torchrun has started, of whom this is one; what came of it is known to rank 0. Raises SelectionError where
    no rank could begin."""
    from mpcore.matrix import check
    from mpcore.parallel.plan import completed, plan
    from mpcore.parallel.standing import StandingOrders
    from mpcore.parallel.worker import device_of_rank, serve

    if options.mp_gpus is not None:
        raise SelectionError(f"--mp-gpus {options.mp_gpus!r}: torchrun has started {ranks}: expected no --mp-gpus")
    options.mp_gpus = str(ranks)
    selection = selected(options)
    check(selection)
    device = device_of_rank(selection.device or "")
    selection = completed(selection, device)
    orders = [order for order in plan(selection, device) if order.case.gpus == ranks]
    kept = _kept(options, orders, device)  # on all ranks: where one cannot go on, none waits for it
    mine = kept if os.environ["RANK"] == "0" else None
    standing = StandingOrders(selection, orders, 60.0 * options.minutes, mine, _tell_of_rank)
    standing.taken("a group of all ranks")
    serve(standing, selection.device or "")
    standing.done()
    if standing.refused is not None:
        raise SelectionError(standing.refused)
    return mine.run if mine else None


def _tell_of_rank(line: str) -> None:
    tell(f"rank {os.environ['RANK']}: {line}")


def _kept(options: argparse.Namespace, orders: "Sequence[Order]", device: "torch.device") -> "Kept":
    from pytest_benchmark.utils import get_commit_info

    from mpcore.device.machine import probe
    from mpcore.gate import Judge
    from mpcore.parallel.kept import Kept
    from mpcore.store import accepted, calibration, check_writable

    check_writable(options.json)
    folder, hardware = baselines_to_make(options), probe(device, label_of(options))
    judge = Judge(accepted(folder, hardware), policy_of(options), calibration(folder, hardware))
    command = shlex.join(["python", "-m", "mpcore", *sys.argv[1:]])
    return Kept(orders, hardware, judge, command, get_commit_info()["id"], options.json)


def _show(found: Run, path: Path) -> None:
    from mpcore.report.document import Document, Section
    from mpcore.report.sections.notes import not_run
    from mpcore.report.sections.scaling import scaling
    from mpcore.report.text import counted

    failed = [f"{failure.test}: {failure.sentence}" for failure in found.failed]
    failed += [j.sentence for result in found.results for j in result.judgements if not j.passed]
    missed = [f"The time was too short for {counted(found.missed, 'case')}: --minutes gives more."] if found.missed else []
    passed = [f"{counted(sum(r.passed for r in found.results), 'record')} of {len(found.results)} passed; saved: {path}"]
    spread = scaling(found.results)
    sections = [
        *(spread if spread or found.failed or found.missed else [Section(sentences=[NOT_SPREAD])]),
        *not_run(found),
        *([Section("Failed", sentences=failed)] if failed else []),
        Section(sentences=[*missed, *passed]),
    ]
    show(Document(f"How steps scale on {found.machine.hardware.name}", sections))
