"""What was accepted, and a session has not."""

import itertools
import re
import shlex
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

import pytest

from mpcore.matrix import knows
from mpcore.plugin.options import trained
from mpcore.store import accepted_last

if TYPE_CHECKING:
    from mpcore.plugin.session import Session
    from mpcore.records import AnyRecord, Case

CHOSEN_BY_HAND = ("keyword", "deselect", "ignore", "ignore_glob", "lf", "mp_minutes")
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
    here = {test.name: session.skipped.get(node) for node, test in tests.items()}
    for run in accepted_last(session.judge.baselines):
        for record in (result.record for result in run.results):
            name, case, why = record.name, record.case, here.get(record.name, "there is no such test")
            on_request = record.kind == "accuracy" and name in here and not trained(session.options, case.workload)
            alike = [test.case for test in tests.values() if test.kind == record.kind]
            if why is not None and not on_request and _chosen(case, run.command, command_of(config), alike):
                yield record, why


def command_of(config: pytest.Config) -> str:
    """The command line of a session."""
    return shlex.join(["pytest", *map(str, config.invocation_params.args)])


def _chosen(case: "Case", there: str, here: str, cases: "Collection[Case]") -> bool:
    """Whether a session would choose a case that another had chosen, by their commands. Where these choose a field otherwise,
    some of `cases` must be alike in it. A name that is registered no more was chosen by default, and would be now."""
    same_files = _given(there, LOADED) == _given(here, LOADED)
    other = [
        field
        for field, options in CHOSEN_BY.items()
        if _given(there, options) != _given(here, options) and (_given(here, options) or knows(case, field) or not same_files)
    ]
    return any(all(getattr(each, field) == getattr(case, field) for field in other) for each in cases)


def _given(command: str, options: Collection[str]) -> list[tuple[str, str]]:
    """Those of the options that a command has, with their values."""
    words = re.split(r"[ =]", command)
    return sorted((word, value) for word, value in itertools.pairwise([*words, ""]) if word in options)
