"""What a training step does, counted: counts repeat exactly, and need no statistics."""

from typing import Literal

from pydantic import NonNegativeInt, PositiveInt

from mpcore.records.base import Record
from mpcore.records.measurement import Measurement


class Operation(Record):
    """One operation of a step. module: the qualified name of the module that it came from, "" for the model itself."""

    name: str
    dtype: str
    shapes: tuple[tuple[NonNegativeInt, ...], ...]
    module: str = ""
    count: PositiveInt


class Work(Measurement):
    """What one eager step dispatches, and what it moves. kernels: launches by name, on a GPU. graph_signature: of its graph,
    where one was captured."""

    kind: Literal["work"] = "work"
    operations: tuple[Operation, ...]
    flops_by_dtype: dict[str, NonNegativeInt]
    casts: NonNegativeInt
    cast_bytes: NonNegativeInt
    saved_bytes: NonNegativeInt
    synchronisations: NonNegativeInt
    parameter_bytes: NonNegativeInt
    gradient_bytes: NonNegativeInt
    optimiser_bytes: NonNegativeInt
    kernels: dict[str, NonNegativeInt] | None = None
    graph_signature: str | None = None
