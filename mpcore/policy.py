"""Margins and limits: what the gate lets pass."""

import fnmatch
import math
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, Field, NonNegativeFloat, PositiveFloat, ValidationError

from mpcore.records import Record

ERROR_LIMIT = 0.5
"""A gradient that is off by half its length is of no use, whatever the format."""
LOSS_ROUNDOFFS = 16.0
UPDATE_LIMIT = 0.05
"""Adam divides by the size of a gradient, so that entries which are nothing but noise count like the others: in FP32 that
made 0.0013 to 0.024 of the update, from process to process (ResNet-18 on H100 and H200). Without masters it is 0.4 and more."""
FLUSHED_LIMIT = 0.01
LEARNED = 0.2
"""What the loss must have fallen by after at most a hundred steps on two batches, as a share. Dropout moves the mean of five
losses by a twentieth; the slowest learner of the workloads, BERT-base with Kahan summation, gets there in 32."""
DROPPED_LIMIT = 0.25
"""Blocks in which the GPU was slowed down, for each good one, that leave a case decided."""

TIME_MARGIN = {"graph": 1.25, "eager": 50.0}
"""Per cent that a step may take more than in accepted runs. What Python launches spreads by a tenth from process to process,
and was seen to take half as long again beside a busy neighbour. A CPU is shared with others: its times are judged only where
a margin is given."""
MACHINE_PRIOR = {"graph": 0.005, "eager": 0.1, "cpu": 0.15}
"""Standard deviation between runs that is assumed before any is seen: the same product has run at 769 to 798 TFLOP/s on an
H200, from one machine start to another."""
PAIR_MARGIN = {"graph": 0.5, "eager": 1.0, "cpu": 1.0}
"""Per cent that a step may take more in head than in base, measured in pairs of fresh processes. A graph's time spreads by a
tenth of that. Python's spreads by ten times its margin, so that it is mostly undecided: but what is wide there is the interval,
and not what matters. The same on a CPU."""
PAIR_MEMORY_MARGIN = 1.0
"""Per cent."""

BATCH = re.compile(r"-b[\d*?]*$")
"""At the end of a case's name."""


def has_learnt(before: float, after: float) -> bool:
    """Whether a loss, which may be negative, has fallen as far as it must."""
    return after < before - LEARNED * abs(before)


class PolicyError(ValueError):
    """A setting that is none; the message names it, and what was expected."""


class Margins(Record):
    """What may get worse since accepted runs. step_time, eager_time, memory: per cent; a time's default is that of how it is
    run. points: of the metric that counts, by default the workload's own tolerance. errors: times the accepted error
    against FP64. updates: an error of theirs that is none yet, by default the workload's own."""

    model_config = ConfigDict(alias_generator=lambda name: name.replace("_", "-"), populate_by_name=True, allow_inf_nan=False)

    step_time: PositiveFloat | None = None
    eager_time: PositiveFloat | None = None
    memory: NonNegativeFloat = 1.0
    points: NonNegativeFloat | None = None
    errors: float = Field(default=1.5, gt=1)
    updates: NonNegativeFloat | None = None

    def time(self, metric: str, how: str) -> float | None:
        """Of "step time" or "eager time", run as "graph", "eager" or "cpu": a margin of the logarithm, or None."""
        given = self.step_time if metric == "step time" else self.eager_time
        percent = TIME_MARGIN.get(how) if given is None else given
        return None if percent is None else math.log1p(percent / 100)


@dataclass(frozen=True)
class Policy:
    """Margins of all cases, and of those whose name fits a pattern, the later over the earlier."""

    settings: Sequence[tuple[str, Mapping[str, Any]]] = field(default_factory=tuple)

    def margins(self, case: str) -> Margins:
        chosen: dict[str, Any] = {}
        for pattern, values in self.settings:
            if fnmatch.fnmatchcase(case, pattern):
                chosen |= values
        return Margins.model_validate(chosen)

    def idle(self, cases: Iterable[str]) -> list[str]:
        """Patterns that none of `cases` fits, which have no size of batch in their names, as any case may have."""
        names = list(cases)
        return [p for p, _ in self.settings if not any(fnmatch.filter(names, part) for part in (p, BATCH.sub("", p)))]


def load_policy(pyproject: Path, options: Sequence[str] = ()) -> Policy:
    """The table [tool.mpcore.margins] of `pyproject`, if there is one, and over it `options`, each METRIC=VALUE or
    CASES:METRIC=VALUE. Raises PolicyError."""
    settings = _table(pyproject) if pyproject.is_file() else []
    return Policy([*settings, *(_option(text) for text in options)])


def _table(pyproject: Path) -> list[tuple[str, Mapping[str, Any]]]:
    try:
        tool = tomllib.loads(pyproject.read_text(encoding="utf-8")).get("tool", {})
    except (OSError, ValueError) as error:
        raise PolicyError(f"cannot read {pyproject}: {error}") from error
    own = tool.get("mpcore", {})
    if not isinstance(own, dict) or set(own) - {"margins"}:
        raise PolicyError(f"{pyproject}: [tool.mpcore] holds {own!r:.80}: expected a table 'margins' and nothing else")
    table = own.get("margins", {})
    if not isinstance(table, dict):
        raise PolicyError(f"{pyproject}: tool.mpcore.margins is {table!r:.80}: expected a table")
    general = {name: value for name, value in table.items() if not isinstance(value, dict)}
    cases = [(pattern, values) for pattern, values in table.items() if isinstance(values, dict)]
    return [_checked(f"{pyproject}, tool.mpcore.margins", *setting) for setting in [("*", general), *cases]]


def _option(text: str) -> tuple[str, Mapping[str, Any]]:
    names, separator, value = text.partition("=")
    cases, _, metric = names.rpartition(":")
    if not separator or not metric:
        raise PolicyError(f"--mp-margin {text!r}: expected METRIC=VALUE or CASES:METRIC=VALUE, such as step-time=2")
    return _checked(f"--mp-margin {text!r}", cases or "*", {metric.strip(): value.strip()})


def _checked(where: str, pattern: str, values: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    try:
        given = Margins.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        metric = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            expected = ", ".join(str(f.alias) for f in Margins.model_fields.values())
            raise PolicyError(f"{where}: there is no margin {metric!r}: expected one of {expected}") from error
        raise PolicyError(f"{where}: {metric} is {first['input']!r:.40}: {first['msg']}") from error
    return pattern, given.model_dump(exclude_unset=True)


@dataclass(frozen=True)
class NumericsLimits:
    """Upper limits of the errors in `Numerics`, None where there is none, and the bounds of the 16-bit share."""

    loss: float
    gradient: float
    update: float | None
    flushed: float | None
    half_share: tuple[float, float]


def numerics_limits(
    roundoff: float, conditioning: float, flips: float = 0.0, *, masters: bool, scales: bool, half_share: float
) -> NumericsLimits:
    """Caps by the round-off of the format and the conditioning of the workload; `flips`, by the root of the round-off.

    Without FP32 masters updates are known to be lost, and without a scale gradients are known to be flushed: there is
    no limit then. A mode that is to compute in FP32 must not compute in 16 bits at all.
    """
    gradient = min(ERROR_LIMIT, conditioning * roundoff + flips * math.sqrt(roundoff))
    return NumericsLimits(
        loss=min(ERROR_LIMIT, LOSS_ROUNDOFFS * roundoff),
        gradient=gradient,
        update=min(ERROR_LIMIT, max(UPDATE_LIMIT, 2 * gradient)) if masters else None,
        flushed=FLUSHED_LIMIT if scales else None,
        half_share=(half_share, 1.0 if half_share else 0.0),
    )
