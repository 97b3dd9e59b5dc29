"""What a case must reach: looked up once, from its mode and its workload."""

import math
from dataclasses import dataclass

import torch

from mpcore.gate.limits import (
    CPU_SUMMED_ROUNDOFFS,
    ERROR_CAP,
    FLUSHED_SHARE_CAP,
    FP32_WHOLE_ROUNDINGS,
    LEARNED_SHARE,
    LOSS_ERROR_ROUNDOFFS,
    OWN_LEARNED_SHARE,
    SUMMED_ROUNDOFFS,
    TENSOR_ROUNDINGS,
    TENSOR_ROUNDOFFS,
    TENSOR_UPDATE_ERROR,
    TENSOR_UPDATE_ROUNDINGS,
    UPDATE_ERROR_CAP,
    WHOLE_ROUNDINGS,
)
from mpcore.precision import Precision, Variant, precisions
from mpcore.records import Case, Requirements
from mpcore.trainers import trainers
from mpcore.workloads import Entry, OwnStep, Workload


def requirements_of(case: Case, entry: Entry, device: torch.device, tolerance_points: float | None = None) -> Requirements:
    """tolerance_points: what a training may lose, in place of the workload's own."""
    if isinstance(entry, OwnStep):
        return _own_requirements(case, entry, device, tolerance_points)
    assert isinstance(entry, Workload)
    return _requirements(case, entry, device, tolerance_points)


def _own_requirements(case: Case, own: OwnStep, device: torch.device, tolerance_points: float | None) -> Requirements:
    """Of a precision that is no mode of mpcore nothing is known."""
    mode = precisions[case.precision] if case.precision in precisions.names() else Precision
    mixed = mode.is_mixed or mode is Precision
    judged = device.type == "cuda" and case.model_size == "full" and mixed and case.precision not in own.must_beat
    return Requirements(
        negative_control=mode.negative_control,
        loses_updates=mode.loses_updates,
        must_beat=own.must_beat if judged else (),
        must_learn=own.must_learn,
        learned_share=OWN_LEARNED_SHARE,
        tolerance_points=own.tolerance if tolerance_points is None else tolerance_points,
    )


def _requirements(case: Case, workload: Workload, device: torch.device, tolerance_points: float | None) -> Requirements:
    mode = precisions[case.precision]
    terms = {"masters": mode.masters, "scales": mode.scales}
    limits = numerics_limits(mode.roundoff(), workload.conditioning, workload.kink_factor, **terms)
    return Requirements(
        negative_control=mode.negative_control,
        loses_updates=mode.loses_updates,
        base=base_of(case.precision),
        must_beat=must_beat(case, mode, workload, device),
        learned_share=LEARNED_SHARE,
        low_precision_share=(mode.low_precision_share, 1.0 if mode.low_precision_share else 0.0),
        tolerance_points=workload.tolerance if tolerance_points is None else tolerance_points,
        update_noise=workload.update_noise,
        **vars(limits),
    )


def base_of(precision: str) -> str | None:
    """The mode that a variant is one of, None for any other."""
    mode = precisions[precision]
    return mode.base if issubclass(mode, Variant) else None


def must_beat(case: Case, mode: type[Precision], workload: Workload, device: torch.device) -> tuple[str, ...]:
    """For a mixed mode, on a GPU and in size full: the modes that the workload names and the trainer has. For a variant there,
    its base. Else none.

    The steps of a tiny model are all launches. Of a batch that was made smaller to fit only the usual is expected, FP32.
    """
    if device.type != "cuda" or case.model_size != "full":
        return ()
    if (base := base_of(case.precision)) is not None:
        return (base,)
    if not mode.is_mixed:
        return ()
    names = workload.amp_must_beat if case.captured else workload.eager_amp_must_beat
    if case.size == "fit":
        names = tuple(name for name in names if name == "fp32")
    return tuple(name for name in names if can_run(case.in_precision(name), device))


def can_run(case: Case, device: torch.device) -> bool:
    """Whether the device can run its mode, where it is one of mpcore, and its trainer has it."""
    if case.precision in precisions.names() and precisions[case.precision].unsupported(device):
        return False
    return trainers[case.trainer].unsupported(case.precision, case.execution, device, case.strategy) is None


@dataclass(frozen=True)
class NumericsLimits:
    """Upper limits of the relative errors in `Numerics`, None where there is none."""

    loss_error: float
    gradient_error: float
    update_error: float | None
    flushed_share: float | None


def numerics_limits(
    roundoff: float, conditioning: float, kink_factor: float = 0.0, *, masters: bool, scales: bool
) -> NumericsLimits:
    """Caps by the round-off of the format and the conditioning of the workload; `kink_factor`, by the root of the round-off:

        gradient error <= min(0.5, conditioning * roundoff + kink_factor * sqrt(roundoff))

    Without FP32 masters updates are known to be lost, and without a scale gradients are known to be flushed: there is no limit
    then.
    """
    gradient = min(ERROR_CAP, conditioning * roundoff + kink_factor * math.sqrt(roundoff))
    return NumericsLimits(
        loss_error=min(ERROR_CAP, LOSS_ERROR_ROUNDOFFS * roundoff),
        gradient_error=gradient,
        update_error=min(ERROR_CAP, max(UPDATE_ERROR_CAP, 2 * gradient)) if masters else None,
        flushed_share=FLUSHED_SHARE_CAP if scales else None,
    )


def against_fp32(required: Requirements, workload: Workload) -> Requirements:
    """The same where errors are against FP32: two that are each so far from FP64 are no farther from each other than both."""
    roundoff = precisions["fp32"].roundoff()
    own = vars(numerics_limits(roundoff, workload.conditioning, workload.kink_factor, masters=True, scales=True))
    limits = {name: getattr(required, name) for name in own}
    wider = {name: min(ERROR_CAP, limit + own[name]) for name, limit in limits.items() if limit is not None}
    return required.model_copy(update=wider)


def beyond_rounding(required: Requirements, limit: float) -> Requirements:
    """The same where rounding alone explains an error of the whole gradient up to `limit`, which may be more than the usual
    cap. Errors tensor by tensor stay as sharp."""
    if required.gradient_error is None:
        return required
    gradient = max(required.gradient_error, limit)
    update = None if required.update_error is None else min(ERROR_CAP, max(required.update_error, 2 * gradient))
    return required.model_copy(update={"gradient_error": gradient, "update_error": update})


def updates_beyond_rounding(required: Requirements, limit: float) -> Requirements:
    """The same where rounding alone explains an error of all updates together up to `limit`."""
    if required.update_error is None:
        return required
    return required.model_copy(update={"update_error": max(required.update_error, limit)})


def explained_by_rounding(rounding_error: float, workload: Workload, roundoff: float, rows: int) -> float:
    """Relative error of all gradients or updates together that is no fault of a mode, where rounding alone does
    `rounding_error` to them on `rows` samples. 0 where the author has said how the workload is conditioned."""
    if says_conditioning(workload, rows):
        return 0.0
    in_fp32 = roundoff <= torch.finfo(torch.float32).eps / 2
    return min(ERROR_CAP, (FP32_WHOLE_ROUNDINGS if in_fp32 else WHOLE_ROUNDINGS) * rounding_error)


def says_conditioning(workload: Workload, rows: int) -> bool:
    """Whether its author does, and not only the base of all. He speaks of as many samples as errors are measured on: of fewer,
    chance decides how far their gradients cancel."""
    own = (type(workload).conditioning, type(workload).kink_factor) != (Workload.conditioning, Workload.kink_factor)
    return own and rows >= workload.numerics_rows[workload.size]


def tensor_gradient_limit(rounding_error: float, roundoff: float, *, kinks: float, summed_in_format: bool) -> float:
    """Cap of the relative error of one tensor's gradient, 1 at most: none may be off by its own size. rounding_error: what
    rounding alone does to it. kinks: what activations on the other side of their kink may add. summed_in_format: whether a
    kernel adds it up in the format itself."""
    summed = CPU_SUMMED_ROUNDOFFS * roundoff if summed_in_format else SUMMED_ROUNDOFFS * torch.finfo(torch.float32).eps / 2
    return min(1.0, TENSOR_ROUNDINGS * rounding_error + TENSOR_ROUNDOFFS * roundoff + kinks + summed)


def variant_gradient_limit(base_error: float, rounding_error: float, factor: float) -> float:
    """The same of a variant, whose base is off by `base_error`, which may be little by chance."""
    return min(1.0, factor * max(base_error, rounding_error))


def tensor_update_limit(rounding_error: float, update_error: float | None) -> float | None:
    """The same of its updates. update_error: the cap of all updates together. None where there is none, or where rounding alone
    may cost as much as lost masters do."""
    by_rounding = TENSOR_UPDATE_ROUNDINGS * rounding_error
    if update_error is None or by_rounding > 1:
        return None
    return min(ERROR_CAP, max(TENSOR_UPDATE_ERROR, update_error, by_rounding))
