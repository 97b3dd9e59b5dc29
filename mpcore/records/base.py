"""What all records have in common, and figures as JSON has them: without NaN and infinity, which parsers of it take
nevertheless."""

import math
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

Number = Annotated[float, Field(allow_inf_nan=False)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegativeFloat = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""Without NaN and infinity, which parsers of JSON take though it has neither."""
Seconds = Annotated[float, Field(ge=1e-9, le=86_400, allow_inf_nan=False)]
"""Of what takes time: from a nanosecond to a day. What lies outside was not measured."""
Bytes = Annotated[int, Field(ge=0, le=2**60)]
Steps = Annotated[int, Field(gt=0, le=10**12)]


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


class _Finite:
    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.json_or_python_schema(
            json_schema=core_schema.nullable_schema(core_schema.float_schema(allow_inf_nan=False)),
            python_schema=core_schema.no_info_after_validator_function(_finite, handler(source)),
        )


Finite = Annotated[float | None, _Finite]
"""None where it is not finite. JSON has no such figures, and files hold millions: they are looked at without Python."""


def _not_negative(value: float | None) -> float | None:
    if value is not None and value < 0:
        raise ValueError("Expected no figure below 0")
    return value


Error = Annotated[Finite, AfterValidator(_not_negative)]


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
