"""What all records have in common, and figures as JSON has them: without NaN and infinity, which parsers of it take
nevertheless."""

import math
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo

Number = Annotated[float, Field(allow_inf_nan=False)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegativeFloat = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""Without NaN and infinity, which parsers of JSON take though it has neither."""


def _finite(value: float | None, info: ValidationInfo) -> float | None:
    if value is None or math.isfinite(value):
        return value
    if info.mode == "json":  # which has no such thing, though parsers take it
        raise ValueError(f"Expected a finite number, found {value}")
    return None


Finite = Annotated[float | None, AfterValidator(_finite)]


def _not_negative(value: float | None) -> float | None:
    if value is not None and value < 0:
        raise ValueError("Expected no figure below 0")
    return value


Error = Annotated[Finite, AfterValidator(_not_negative)]


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
