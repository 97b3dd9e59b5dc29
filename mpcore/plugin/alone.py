"""The command that runs one test of a case again, alone."""

import os
import shlex
from typing import TYPE_CHECKING, Any

from mpcore.report.sections.next_steps import options_of

if TYPE_CHECKING:
    from mpcore.plugin.session import Session
    from mpcore.records import Case

TITLE = "to run it alone"
JUDGED_BY = (
    "accuracy",
    "seeds",
    "checkpoint",
    "tolerance",
    "precision-target",
    "baselines",
    "base",
    "margin",
    "strict",
    "label",
)
"""Options, beside those that select, that decide what is measured or what fails."""


def command(item: Any, case: "Case", session: "Session") -> str:
    """As typed where pytest was called."""
    config = item.config
    test = "::".join([os.path.relpath(item.path, config.invocation_params.dir), *item.nodeid.split("::")[1:]])
    [named] = options_of([case], session.options.selection)
    others = [option for name in JUDGED_BY for option in _given(name, config.getoption(f"mp_{name.replace('-', '_')}"))]
    return " ".join(["pytest", shlex.quote(test), *named, *others])


def _given(name: str, value: Any) -> list[str]:
    """An option as often as it was given."""
    if value is True:
        return [f"--mp-{name}"]
    values = value if isinstance(value, list) else [] if value in (None, False) else [value]
    return [f"--mp-{name} {shlex.quote(str(each))}" for each in values]
