"""What the gate can say, and its thresholds."""

import ast
import re
from collections.abc import Callable
from pathlib import Path

from generator.markdown import table
from mpcore.gate import limits
from mpcore.records import Check, Regression
from mpcore.records.check import CHECKS
from mpcore.records.regression import REGRESSIONS


def check_statuses() -> str:
    def passes(status: str) -> str:
        return "passes" if Check.model_construct(status=status).passed else "fails"

    return status_table(CHECKS, passes)


def regression_statuses() -> str:
    def passes(status: str) -> str:
        made = Regression.model_construct(status=status)
        return "fails" if not made.passed else "passes, fails with `--mp-strict`" if made.open else "passes"

    return status_table(REGRESSIONS, passes)


def status_table(meanings: dict[str, str], passes: Callable[[str], str]) -> str:
    shown = [(f"`{name}`", passes(name), meaning) for name, meaning in meanings.items()]
    return table(("status", "the test", "meaning"), shown)


def thresholds() -> str:
    """Each constant of the gate with its value and the first sentence of what is said below it."""
    body = ast.parse(Path(limits.__file__).read_text()).body
    rows = []
    for statement, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            said = after.value.value if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) else ""
            first = re.split(r"(?<=[.]) ", " ".join(said.split()))[0]
            rows.append((f"`{statement.targets[0].id}`", f"`{ast.unparse(statement.value)}`", first))
    return table(("threshold", "value", "meaning"), rows)
