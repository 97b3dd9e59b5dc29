"""What was accepted, and a session has not."""

import itertools
import os
import shlex
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mpcore.matrix import knows
from mpcore.plugin.options import trained
from mpcore.selection import ALL
from mpcore.store import accepted_last

if TYPE_CHECKING:
    from mpcore.plugin.session import Session
    from mpcore.records import AnyRecord, Case

CHOSEN_BY_HAND = ("keyword", "deselect", "ignore", "ignore_glob", "lf", "stepwise", "mp_minutes")
"""Options that choose tests by other names than ours, or by time: nothing is missed then."""
LOADED = ("--mp-load",)
CHOSEN_BY = {
    "workload": ("--mp-workload", *LOADED),
    "precision": ("--mp-precision",),
    "trainer": ("--mp-trainer",),
    "execution": ("--mp-execution",),
    "strategy": ("--mp-strategy", "--mp-gpus"),
    "gpus": ("--mp-gpus",),
    "size": ("--mp-size",),
    "batch_size": ("--mp-batch",),
    "keep_fp32": ("--mp-keep-fp32",),
}
"""Options that choose cases, by the field of a case."""


def gone(session: "Session") -> "Iterator[tuple[AnyRecord, str]]":
    """The records that were accepted last whose tests are no longer there, or are skipped now, and why. They are of the kinds
    of tests that the session has, and of cases that it would choose."""
    config, tests = session.config, session.tests
    if any(getattr(config.option, name, None) for name in CHOSEN_BY_HAND) or any("::" in str(a) for a in config.args):
        return
    command, here = command_of(config), {test.name: session.skipped.get(node) for node, test in tests.items()}
    for run in accepted_last(session.judge.baselines):
        for record in (result.record for result in run.results):
            name, case, why = record.name, record.case, here.get(record.name, "there is no such test")
            on_request = record.kind == "accuracy" and name in here and not trained(session.options, case.workload)
            alike = [test.case for test in tests.values() if test.kind == record.kind]
            if why is not None and not on_request and _chosen(case, run.command, command, alike):
                yield record, why


def command_of(config: pytest.Config) -> str:
    """The command line of a session, with the options that choose cases, wherever they come from."""
    words = ["pytest", *map(str, config.invocation_params.args)]
    given = {option for option, _ in _options(words)}
    for option in dict.fromkeys(itertools.chain(*CHOSEN_BY.values())):
        values = getattr(config.option, option[2:].replace("-", "_"), None) if option not in given else None
        words += [f"{option}={value}" for value in (values if isinstance(values, list) else [values]) if value]
    return shlex.join([*words, *(f"--mp-load={os.path.relpath(path)}" for path in config.getini("mp_load"))])


def _chosen(case: "Case", there: str, here: str, cases: "Collection[Case]") -> bool:
    """Whether a session would choose a case that another had chosen, by their commands. Where these choose a field otherwise,
    some of `cases` must be alike in it."""
    other = [field for field, options in CHOSEN_BY.items() if _otherwise(case, field, *_given(options, there, here))]
    if {Path(value).name for value in _given(LOADED, there)[0]} != {Path(value).name for value in _given(LOADED, here)[0]}:
        other += [field for field in CHOSEN_BY if not knows(case, field)]  # it may be of a file
    return any(all(getattr(each, field) == getattr(case, field) for field in other) for each in cases)


def _otherwise(case: "Case", field: str, there: Sequence[str], here: Sequence[str]) -> bool:
    """Whether a field is chosen otherwise here. A name that is registered no more was one of all, and would be one now."""
    return there != here and (knows(case, field) or bool(here and ALL not in here))


def _given(options: Collection[str], *commands: str) -> list[list[str]]:
    """The values that each command has for some of the options."""
    return [sorted(value for option, value in _options(_words(command)) if option in options) for command in commands]


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:  # written by hand
        return command.split()


def _options(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each with its value, as `--option value` or `--option=value`."""
    for word, following in itertools.pairwise([*words, ""]):
        option, equals, value = word.partition("=")
        if option.startswith("--"):
            yield option, value if equals else following
