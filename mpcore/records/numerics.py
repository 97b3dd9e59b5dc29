"""Errors against FP64."""

from typing import Literal

from pydantic import NonNegativeInt

from mpcore.records.base import Error, Number, PositiveFloat, Record
from mpcore.records.measurement import Measurement


class TensorErrors(Record):
    """The errors of one parameter, by its qualified name. An error is None where it has no gradient but rounding.
    norm_share: the FP64 norm of its gradient, as a share of the norm of the whole gradient."""

    name: str
    norm_share: Number
    gradient_error: Error
    update_error: Error


class Numerics(Measurement):
    """Errors against FP64 on one fixed batch, dropout off.

    Errors are relative: |x - x64| / |x64|, with Euclidean norms over all trainable parameters. `flushed_share` is
    the share of gradient entries that are not zero in FP64 and are zero here. `low_precision_flops_share` is None where there
    are no FLOPs to count; `fp32_on_purpose` is the share of the forward pass's FLOPs that somebody asked to be in FP32.
    """

    kind: Literal["numerics"] = "numerics"
    seconds: PositiveFloat
    loss_error: Error
    gradient_error: Error
    flushed_share: Error
    updates: NonNegativeInt
    update_error: Error
    skipped_steps: NonNegativeInt
    low_precision_flops_share: Number | None
    fp32_on_purpose: Number = 0.0
    tensors: tuple[TensorErrors, ...] | None = None
