"""Margins and caps: what may get worse and what an error may be, for all cases or for some, as the user sets them."""

import fnmatch
import itertools
import math
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ConfigDict, Field, NonNegativeFloat, PositiveFloat, ValidationError

from mpcore.gate.limits import (
    COMMON_TIME_MARGIN_PERCENT,
    COMPILE_TIME_MARGIN_PERCENT,
    ERROR_MARGIN_FACTOR,
    MEMORY_MARGIN_PERCENT,
    PAIR_BLIND_PERCENT,
    PAIR_MEMORY_MARGIN_PERCENT,
    PAIR_TIME_MARGIN_PERCENT,
    STEP_TIME_MARGIN_PERCENT,
)
from mpcore.records import Record, Requirements

BATCH = re.compile(r"-b[\d*?]*$")
"""At the end of a case's name."""
AT_ONCE = 1000
"""Names that patterns are held against before it is asked whether any pattern is left."""


class PolicyError(ValueError):
    """A setting that cannot be used; the message names it, and what was expected."""


class _Settings(Record):
    """Names are written with hyphens, as in a command line."""

    model_config = ConfigDict(alias_generator=lambda name: name.replace("_", "-"), populate_by_name=True, allow_inf_nan=False)


class Margins(_Settings):
    """What may get worse since accepted runs, and in `ab` from base to head.

    step_time, memory, compile_time: per cent. points: of the metric that counts, by default the tolerance that the record
    requires. errors: times the accepted error against FP64. updates: an error of theirs that says nothing yet, by default the
    record's noise. pair_time, pair_memory: per cent, in `ab`; pair_blind:
    per cent that must be excluded there.
    """

    step_time: PositiveFloat | None = None
    memory: NonNegativeFloat = MEMORY_MARGIN_PERCENT
    compile_time: NonNegativeFloat = COMPILE_TIME_MARGIN_PERCENT
    points: NonNegativeFloat | None = None
    errors: float = Field(default=ERROR_MARGIN_FACTOR, gt=1)
    updates: NonNegativeFloat | None = None
    pair_time: PositiveFloat | None = None
    pair_memory: NonNegativeFloat = PAIR_MEMORY_MARGIN_PERCENT
    pair_blind: PositiveFloat = PAIR_BLIND_PERCENT

    def time(self, how: str) -> float | None:
        """Of a step that is run as "graph", "eager" or "cpu": a margin of the logarithm, or None where it is not judged."""
        default = STEP_TIME_MARGIN_PERCENT if how == "graph" else None
        percent = None if how == "eager" else default if self.step_time is None else self.step_time
        return None if percent is None else math.log1p(percent / 100)

    @property
    def common_time(self) -> float:
        """Of what the graphs of a run share: a margin of the logarithm."""
        return math.log1p((COMMON_TIME_MARGIN_PERCENT if self.step_time is None else self.step_time) / 100)

    def pair_time_percent(self, how: str) -> float:
        """Per cent that a step may take more in head than in base, run as "graph", "eager" or "cpu"."""
        return PAIR_TIME_MARGIN_PERCENT[how] if self.pair_time is None else self.pair_time


class Caps(_Settings):
    """Upper limits of errors against FP64, in place of those that follow from mode and workload. None: those stand."""

    loss_error: NonNegativeFloat | None = None
    gradient_error: NonNegativeFloat | None = None
    update_error: NonNegativeFloat | None = None
    flushed_share: NonNegativeFloat | None = None

    def over(self, requirements: Requirements) -> Requirements:
        """The requirements with these caps. What a mode is not limited in stays so: it is known for that error."""
        given = self.model_dump(exclude_none=True)
        return requirements.model_copy(update={n: v for n, v in given.items() if getattr(requirements, n) is not None})


Setting = tuple[str, Mapping[str, Any]]
"""Values for the cases whose names fit a pattern."""
AnySettings = TypeVar("AnySettings", bound=_Settings)


@dataclass(frozen=True)
class Policy:
    """Margins and caps of all cases, and of those whose names fit a pattern. A later setting goes before an earlier one."""

    margin_settings: Sequence[Setting] = ()
    cap_settings: Sequence[Setting] = ()

    def margins(self, case: str) -> Margins:
        return _chosen(Margins, self.margin_settings, case)

    def caps(self, case: str) -> Caps:
        return _chosen(Caps, self.cap_settings, case)

    def unused_patterns(self, cases: Iterable[str]) -> list[str]:
        """Patterns that none of `cases` fits. A batch size in a pattern fits any case, for any case may have one."""
        left = dict.fromkeys(pattern for pattern, _ in (*self.margin_settings, *self.cap_settings))
        names = iter(cases)  # very many, and rarely all needed
        while left and (some := list(itertools.islice(names, AT_ONCE))):
            left = {p: None for p in left if not any(fnmatch.filter(some, part) for part in (p, BATCH.sub("", p)))}
        return list(left)


def load_policy(pyproject: Path, options: Sequence[str] = ()) -> Policy:
    """The tables [tool.mpcore.margins] and [tool.mpcore.caps] of `pyproject`, where there are any.

    Over the margins go `options`, each METRIC=VALUE or CASES:METRIC=VALUE. Raises PolicyError.
    """
    own = _own_table(pyproject) if pyproject.is_file() else {}
    margins, caps = (_table(pyproject, own, kind) for kind in (Margins, Caps))
    return Policy([*margins, *map(_option, options)], caps)


def allowed_bytes(before: int, percent: float, noise: int) -> tuple[float, str]:
    """How many bytes more than `before` memory may be, and the same in words: per cent of it, and no less than `noise`."""
    allowed = before * percent / 100
    return (allowed, f"{percent:g} %") if allowed >= noise else (noise, f"{noise / 2**20:g} MiB")


def _chosen(kind: type[AnySettings], settings: Sequence[Setting], case: str) -> AnySettings:
    chosen: dict[str, Any] = {}
    for pattern, values in settings:
        if fnmatch.fnmatchcase(case, pattern):
            chosen |= values
    return kind.model_validate(chosen)


def _own_table(pyproject: Path) -> dict[str, Any]:
    try:
        tool = tomllib.loads(pyproject.read_text(encoding="utf-8")).get("tool", {})
    except (OSError, ValueError) as error:
        raise PolicyError(f"cannot read {pyproject}: {error}") from error
    own = tool.get("mpcore", {})
    if not isinstance(own, dict) or set(own) - {"margins", "caps"}:
        raise PolicyError(f"{pyproject}: [tool.mpcore] holds {own!r:.80}: expected tables 'margins' and 'caps', nothing else")
    return own


def _table(pyproject: Path, own: Mapping[str, Any], kind: type[_Settings]) -> list[Setting]:
    name = f"tool.mpcore.{kind.__name__.lower()}"
    table = own.get(kind.__name__.lower(), {})
    if not isinstance(table, dict):
        raise PolicyError(f"{pyproject}: {name} is {table!r:.80}: expected a table")
    general = {key: value for key, value in table.items() if not isinstance(value, dict)}
    cases = [(pattern, values) for pattern, values in table.items() if isinstance(values, dict)]
    return [_checked(f"{pyproject}, {name}", kind, *setting) for setting in [("*", general), *cases]]


def _option(text: str) -> Setting:
    names, separator, value = text.partition("=")
    cases, _, metric = names.rpartition(":")
    if not separator or not metric:
        raise PolicyError(f"--mp-margin {text!r}: expected METRIC=VALUE or CASES:METRIC=VALUE, such as step-time=2")
    return _checked(f"--mp-margin {text!r}", Margins, cases or "*", {metric.strip(): value.strip()})


def _checked(where: str, kind: type[_Settings], pattern: str, values: Mapping[str, Any]) -> Setting:
    try:
        given = kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            expected = ", ".join(str(field.alias) for field in kind.model_fields.values())
            one = kind.__name__.lower().removesuffix("s")
            raise PolicyError(f"{where}: there is no {one} {key!r}: expected one of {expected}") from error
        raise PolicyError(f"{where}: {key} is {first['input']!r:.40}: {first['msg']}") from error
    return pattern, given.model_dump(exclude_unset=True)
