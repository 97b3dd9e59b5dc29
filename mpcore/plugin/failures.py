"""Why a test failed, in a sentence."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from mpcore.records import Result

FAILURE_CHARACTERS = 2000
"""Of a failure that are kept."""


class JudgedFailure(pytest.fail.Exception):  # type: ignore[name-defined]
    """A test fails for what the gate says of what it measured."""

    def __init__(self, result: "Result", sentences: Sequence[str]) -> None:
        super().__init__("\n".join(sentences), pytrace=False)
        self.result = result


def sentence_of(report: pytest.TestReport, call: pytest.CallInfo[None]) -> str:
    """What the test says itself, or what was raised and where; on one line, the end of it where it is too long."""
    from mpcore.errors import cause

    error = call.excinfo.value if call.excinfo else None
    if error is None or isinstance(error, pytest.fail.Exception):
        return " ".join(str(error or report.longreprtext).split())[-FAILURE_CHARACTERS:]
    return f"{report.nodeid.split('::')[-1]}: {' '.join(cause(error).split())}"[:FAILURE_CHARACTERS]
