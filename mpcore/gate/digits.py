"""Figures with as many digits as their verdict needs: what fails by a hair must not read like its limit."""

import re
from collections.abc import Callable

MOST = 15
"""Digits that a float has."""


def as_judged(judge: Callable[..., object], *figures: tuple[float, str]) -> list[str]:
    """Each value in its format, with so many digits more that `judge` says of what is printed what it says of the values."""
    verdict = judge(*(value for value, _ in figures))
    forms = ([f"{value:{_longer(form, more)}}" for value, form in figures] for more in range(MOST))
    first = next(forms)
    return next((said for said in (first, *forms) if judge(*map(float, said)) == verdict), first)


def told_apart(value: float, limit: float, form: str, limit_form: str = "g") -> list[str]:
    """A value and its limit: what is printed is on the same side of it."""
    if value == limit:
        return [f"{value:{form}}", f"{limit:{limit_form}}"]
    return as_judged(lambda value, limit: (value < limit, value > limit), (value, form), (limit, limit_form))


def error_since(before: float, now: float | None, factor: float, floor: float = 0.0) -> tuple[str, str]:
    """An error, and the one in accepted runs. It may be `factor` times as large as that, or as large as `floor`."""
    if now is None:
        return "not finite", f"{before:.2g}"
    now_said, before_said = as_judged(
        lambda now, before: (now > max(factor * before, floor), now * factor < before), (now, ".2g"), (before, ".2g")
    )
    return now_said, before_said


def beside_margin(low: float, high: float, margin: float) -> tuple[bool, bool, bool]:
    """What the bounds of a change say beside its margin, all in per cent."""
    return low > margin, high > margin, high < -margin / (1 + margin / 100)


def _longer(form: str, more: int) -> str:
    """Of ".3g" with 2 more, ".5g"; "g" stands for ".6g"."""
    form = form if "." in form else f".6{form}"
    return re.sub(r"\d+", lambda digits: str(int(digits[0]) + more), form)
