"""One session."""

from typing import Annotated

from pydantic import Field, NonNegativeInt

from mpcore.records.base import Record
from mpcore.records.machine import Machine
from mpcore.records.moment import Moment
from mpcore.records.paired_confirmation import PairedConfirmation
from mpcore.records.regression import Regression
from mpcore.records.result import Result

LAYOUT = "4.0"
"""Of what is stored: major and minor version. A minor version adds fields with defaults; readers keep what they do not know."""


class Accepted(Record):
    """Why and when a run became a baseline.

    allowed_failures: the tests that had failed in it. reset: the names of records whose older baselines count no more.
    """

    reason: Annotated[str, Field(min_length=1)]
    datetime: Moment
    allowed_failures: tuple[str, ...] = ()
    reset: tuple[str, ...] = ()


class FailedTest(Record):
    """A test that failed, by its node id, and why. name: of the record that it measures, "" for a test without cases. strict:
    whether it failed for --mp-strict alone, which says nothing of what was measured. command: what runs it again, alone, ""
    where nobody knows."""

    test: str
    name: str = ""
    sentence: str
    strict: bool = False
    command: str = ""

    @property
    def kind(self) -> str:
        return self.name.partition(":")[0]

    @property
    def case(self) -> str:
        """The id of its case, "" for a test without cases."""
        return (*self.name.split(":"), "")[1]


class SkippedTest(Record):
    """A test that was not run, by its node id or the name of a drift, and why. name: of the record that it would measure, ""
    for a drift."""

    test: str
    name: str = ""
    reason: str


class Run(Record):
    """One session, and the command line that made it, with the options for cases that came from elsewhere.

    path: the file that it was read from. uncommitted: whether the tree had changes that its commit does not hold, as far as
    pytest-benchmark tells. label: of older files; a machine's label is its hardware's. failed: all tests that failed, whether
    or not they left a result, and `ALL_CASES` where all became slower together. skipped: those that were not run, for a reason.
    missed: how many tests it did not reach before it was ended. common: what all cases share. common_pairs: some of them beside
    the accepted commit, or why not; None where that was not asked. accepted: where it is a baseline.
    """

    path: Annotated[str, Field(exclude=True)] = ""
    layout: str = LAYOUT
    command: str
    datetime: Moment
    commit: str | None
    uncommitted: Annotated[bool, Field(exclude=True)] = False
    label: Annotated[None, Field(exclude=True)] = None
    machine: Machine
    results: tuple[Result, ...]
    failed: tuple[FailedTest, ...] = ()
    skipped: tuple[SkippedTest, ...] = ()
    missed: NonNegativeInt = 0
    common: Regression | None = None
    common_pairs: PairedConfirmation | str | None = None
    accepted: Accepted | None = None

    @property
    def machine_start(self) -> str:
        """What tells one start of a machine from another, which may be faster or slower: its GPU, and the day."""
        return f"{self.machine.hardware.uuid} {self.datetime[:10]}"
