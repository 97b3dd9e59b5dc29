"""One saved session."""

from typing import Annotated

from pydantic import Field, NonNegativeInt

from mpcore.records.base import Record
from mpcore.records.machine import Machine
from mpcore.records.result import Result


class Accepted(Record):
    """Why and when a run became a baseline, and the tests that had failed in it and were overruled. anew: the names of records
    of which nothing older is expected from now on."""

    reason: Annotated[str, Field(min_length=1)]
    datetime: str
    overruled: tuple[str, ...] = ()
    anew: tuple[str, ...] = ()


class FailedTest(Record):
    """A test of a case that failed, by its node id, and why."""

    test: str
    sentence: str

    @property
    def case(self) -> str:
        """What stands in brackets, "" for a test without cases."""
        return self.test.removesuffix("]").partition("[")[2]

    @property
    def kind(self) -> str:
        """What the test is called: "speed", "accuracy"."""
        return self.test.partition("[")[0].split("::")[-1].removeprefix("test_")

    @property
    def name(self) -> str:
        """As that of a record, "" for a test without cases."""
        return f"{self.kind}:{self.case}" if self.case else ""


class Run(Record):
    """One saved session, and the command line that made it. failed: tests that failed, whether or not they left a result.
    missed: how many it did not reach before it was ended. accepted: where it is a baseline."""

    path: str
    command: str
    datetime: str
    commit: str | None
    machine: Machine
    results: tuple[Result, ...]
    failed: tuple[FailedTest, ...] = ()
    missed: NonNegativeInt = 0
    accepted: Accepted | None = None

    @property
    def machine_start(self) -> str:
        """What tells one start of a machine from another, which may be faster or slower: its GPU, and the day."""
        return f"{self.machine.hardware.uuid} {self.datetime[:10]}"
