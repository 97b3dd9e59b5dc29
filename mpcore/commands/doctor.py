"""What would spoil figures on this machine, and what the suite will take here. Nothing is measured but a product in each
format."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from mpcore.commands.arguments import Commands, add_baselines, baselines_of, check_system, selected
from mpcore.commands.output import show
from mpcore.project import ProjectError
from mpcore.selection import (
    SelectionError,
    add_label_option,
    add_minutes_option,
    add_options,
    check_compile_cache,
    label_of,
    minutes_of,
)

if TYPE_CHECKING:
    import torch

    from mpcore.records import Hardware


def add(commands: Commands) -> None:
    """Adds the command."""
    description = (
        "Looks at this machine before anything is measured. It says what would spoil figures, which cases will run, and why "
        "others will not. Accepted runs tell how many minutes and how much memory they will take."
    )
    codes = (
        "exit code: 0 nothing found, 1 something would spoil figures, 2 an option that cannot be read, 4 nothing can be "
        "measured here"
    )
    parser = commands.add_parser(
        "doctor", help="what would spoil figures here, and what will run", description=description, epilog=codes
    )
    add_baselines(parser)
    add_options(parser.add_argument)
    add_minutes_option(parser.add_argument)
    add_label_option(parser.add_argument)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Prints it. Raises ProjectError for a selection, a device or a folder of data that is not there, for minutes that nobody
    can choose tests for, and where nothing can be measured; RunError for baselines that cannot be read."""
    check_system()
    try:
        check_compile_cache()
    except SelectionError as error:
        raise ProjectError(str(error)) from error
    from mpcore import matrix
    from mpcore.device.machine import probe
    from mpcore.doctor.estimates import card_of, estimates_here, why_not_within
    from mpcore.doctor.forecast import document, forecast
    from mpcore.doctor.spoilers import spoilers
    from mpcore.report.text import counted

    try:
        selection = selected(options)
        matrix.check(selection)
        matrix.source_of(selection)
        device, minutes, label = matrix.device_of(selection), minutes_of(options), label_of(options)
    except SelectionError as error:
        raise ProjectError(str(error)) from error
    asked = {case.execution for case, _ in matrix.cases(selection, device)}
    found = list(spoilers(device, Path.cwd(), os.environ, asked, load=True))
    hardware = probe(device, label)
    folder = baselines_of(options)
    estimates = estimates_here(folder, hardware, device)
    if minutes is not None and estimates is None:
        raise ProjectError(why_not_within(minutes, folder))
    card = card_of(hardware, device)
    expected = forecast(selection, device, estimates, minutes, card)
    show(document(expected, estimates, found, _title(hardware, device), card))
    if found:
        print(f"{counted(len(found), 'thing')} would spoil figures")
    if all(case.reason is not None for case in expected):
        return 4
    return 1 if found else 0


def _title(hardware: "Hardware", device: "torch.device") -> str:
    memory = f", {hardware.memory_bytes / 2**30:.0f} GiB" if hardware.memory_bytes else ""
    return f"{hardware.name} ({device}{memory}, {hardware.cores} CPU cores)"
