"""What planted faults show: whether a lost accuracy, or a wrong gradient, would be seen."""

from typing import Annotated

from pydantic import Field, NonNegativeInt, PositiveInt

from mpcore.records.base import Finite, Number, Record
from mpcore.records.case import Case


class Sensitivity(Record):
    """Whether a lost accuracy would be seen. How far FP32 lies below the ceiling, in tolerances, and how often a planted fault
    that costs a tolerance or more is found, of so many trials.

    fault: the mildest of those planted that costs a tolerance, in words, "" where none does; lost_points: what it costs.
    alarms: how often the same trainings without a fault did not pass, of as many trials.
    """

    tolerances_to_ceiling: Number
    found: NonNegativeInt
    trials: PositiveInt
    fault: str = ""
    lost_points: Finite = None
    alarms: NonNegativeInt = 0


class AccuracyProof(Record):
    """The sensitivity of the trainings of one workload. terms: what has to be the same for it to hold of others, by name."""

    workload: str
    terms: dict[str, str]
    sensitivity: Sensitivity


class GradientProof(Record):
    """Of how many tensors, each in its turn, a wrong gradient is found in a case. tensors: those that have one. found: by the
    fault, in words."""

    case: Case
    tensors: PositiveInt
    found: dict[str, NonNegativeInt]


class Sensitivities(Record):
    """All that was proved on one kind of machine. hardware: its key."""

    hardware: Annotated[str, Field(min_length=1)]
    accuracy: tuple[AccuracyProof, ...] = ()
    numerics: tuple[GradientProof, ...] = ()
