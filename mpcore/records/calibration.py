"""How far runs of one code differ."""

from typing import Annotated

from pydantic import Field, PositiveInt

from mpcore.records.base import PositiveFloat, Record


class Calibration(Record):
    """How far runs of one code differ on one kind of GPU, found by A/A: so many runs, on so many GPUs.

    hardware: the key of the kind. Standard deviations of logarithms between runs of one case. One is for steps whose clock
    stands still, one for those that the power limit paces, and one for those whose clock moves otherwise. One more is of what
    all cases of a run share.
    """

    hardware: Annotated[str, Field(min_length=1)]
    runs: PositiveInt
    gpus: PositiveInt
    steady_log_sd: PositiveFloat
    power_cap_log_sd: PositiveFloat
    unsteady_log_sd: PositiveFloat
    shared_log_sd: PositiveFloat
