"""Errors against FP64."""

from typing import Literal

from pydantic import NonNegativeInt

from mpcore.records.base import Error, Number, Record, Seconds
from mpcore.records.measurement import Measurement


class TensorErrors(Record):
    """The errors of one parameter, by its qualified name, each with the most that it may be. layer: the class of its module.
    norm_share: the FP64 norm of its gradient, as a share of the norm of the whole gradient. base_error: of a variant, the error
    of its gradient in the base.

    length: how many times as long its gradient is, where it is too far off and points the same way all the same.

    hidden: whether zeros hide its gradient at first, and its errors are from small random numbers in their place.

    An error is None where it says nothing: where the tensor has no gradient but rounding, or its update hangs on that.
    """

    name: str
    layer: str = ""
    norm_share: Number
    gradient_error: Error
    gradient_limit: Error = None
    update_error: Error
    update_limit: Error = None
    base_error: Error = None
    length: Number | None = None
    hidden: bool = False

    @property
    def where(self) -> str:
        """Its name, and the class of its module."""
        return f"{self.name} ({self.layer})" if self.layer else self.name

    @property
    def gradient_share(self) -> float:
        """Its error, as a share of the most that it may be: what is above 1 is too much. 0 where it says nothing."""
        return _share(self.gradient_error, self.gradient_limit)

    @property
    def update_share(self) -> float:
        return _share(self.update_error, self.update_limit)


def _share(error: float | None, limit: float | None) -> float:
    return 0.0 if error is None or not limit else error / limit


class Numerics(Measurement):
    """Errors against FP64 on one fixed batch, dropout off.

    Errors are relative: |x - x64| / |x64|, with Euclidean norms over all trainable parameters. The error of the
    loss is a share of what its terms come to without their signs. `flushed_share` is the share of gradient entries that are
    not zero in FP64 and are zero here. `low_precision_flops_share` is None where there are no FLOPs to count.
    `fp32_on_purpose` is the share of the forward pass's FLOPs that somebody asked to be in FP32. tensors: in the order of the
    forward pass. remark: what is to be known of the loss, such as that it is random. not_finite: where something first is not
    finite. reference: the mode that errors are against, `fp32` where FP64 cannot run.
    """

    kind: Literal["numerics"] = "numerics"
    seconds: Seconds
    loss_error: Error
    gradient_error: Error
    flushed_share: Error
    updates: NonNegativeInt
    update_error: Error
    skipped_steps: NonNegativeInt
    low_precision_flops_share: Number | None
    fp32_on_purpose: Number = 0.0
    tensors: tuple[TensorErrors, ...] | None = None
    remark: str | None = None
    not_finite: str | None = None
    reference: str = "fp64"

    @property
    def terms(self) -> dict[str, object]:
        return super().terms | {"reference": self.reference}

    @property
    def worst_tensor(self) -> TensorErrors | None:
        """The one whose gradient is nearest to the most that it may be wrong by. None where none says anything."""
        said = [t for t in self.tensors or () if t.gradient_error is not None and t.gradient_limit]
        return max(said, key=lambda t: t.gradient_share, default=None)
