"""What errors must show: each is within its limit, and the mode computes in the bits that its name says."""

import math
from collections.abc import Sequence

from mpcore.gate.checks.check import figure, new_check, passed
from mpcore.gate.digits import as_judged, told_apart
from mpcore.gate.limits import MOST_OF_A_STEP
from mpcore.records import Check, Numerics, TensorErrors

SAME_LENGTH = 0.05
"""Within which two lengths are one factor."""
NAMED = 3
"""Tensors that a sentence names besides the worst."""


def numerics_checks(numerics: Numerics) -> list[Check]:
    """Each error must be within its limit, and the mode must compute in the bits that its name says. Of what is not finite no
    error says anything, and one sentence is enough."""
    required = numerics.requirements
    errors = [
        ("loss error", numerics.loss_error, required.loss_error),
        ("gradient error", numerics.gradient_error, required.gradient_error),
        ("update error", numerics.update_error, required.update_error),
        ("flushed share", numerics.flushed_share, required.flushed_share),
    ]
    if numerics.not_finite:
        return [new_check(numerics, "finite", "failed", None, None, numerics.not_finite)]
    if required.negative_control:
        errors = errors[:1]  # its gradients are known to be flushed, its updates to be none
    found = [_within(numerics, metric, value, limit) for metric, value, limit in errors if limit is not None]
    if numerics.tensors and not required.negative_control:
        found += _by_tensor(numerics, numerics.tensors)
    if required.low_precision_share is not None and numerics.low_precision_flops_share is not None:
        found.append(_in_its_bits(numerics, numerics.low_precision_flops_share, *required.low_precision_share))
    return found


def _within(numerics: Numerics, metric: str, value: float | None, limit: float) -> Check:
    said, most = figure(value), f"{limit:.2g}"
    if value is not None:
        said, most = told_apart(value, limit, ".3g", ".2g")
    sentence = f"{metric} of {numerics.case.precision} against {numerics.reference} is {said}, at most {most} may be"
    return new_check(numerics, metric, passed(value is not None and value <= limit), value, limit, sentence)


def _in_its_bits(numerics: Numerics, share: float, low: float, high: float) -> Check:
    """What somebody asked to be in FP32 is not missed."""
    low *= max(0.0, 1 - MOST_OF_A_STEP * numerics.fp32_on_purpose)
    reached, limit = low <= share <= high, low if share < low else high
    figures = (100 * share, ".0f"), (100 * low, ".0f"), (100 * high, ".3g")
    said, least, most = as_judged(lambda share, low, high: low <= share <= high, *figures)
    asked = (
        f". {100 * numerics.fp32_on_purpose:.0f} % of a forward pass are in FP32 on purpose" if numerics.fp32_on_purpose else ""
    )
    sentence = f"{numerics.case.precision} does {said} % of its FLOPs in 16 bits, expected {least} to {most} %{asked}"
    return new_check(numerics, "16-bit share", passed(reached), share, limit, sentence)


def _by_tensor(numerics: Numerics, tensors: Sequence[TensorErrors]) -> list[Check]:
    """No tensor's gradient may be off by more than its limit, and no updates of one whose gradient is right. What is wrong in
    one layer is lost in a sum over all."""
    gradients = [(t, t.gradient_error, t.gradient_limit) for t in tensors]
    updates = [(t, t.update_error, t.update_limit) for t in tensors if t.gradient_share <= 1]
    found = []
    for what, errors in (("gradient", gradients), ("update", updates)):
        said = [(t, error, limit) for t, error, limit in errors if error is not None and limit]
        if said:
            found.append(_worst(numerics, what, said))
    return found


def _worst(numerics: Numerics, what: str, errors: Sequence[tuple[TensorErrors, float, float]]) -> Check:
    wrong = [(t, error, limit) for t, error, limit in errors if error > limit or error >= 1]
    worst, error, limit = max(wrong or errors, key=lambda said: said[1] / said[2])
    name = numerics.case.precision
    said, most = told_apart(error, limit, ".3g", ".2g")
    sentence = f"the {what} of {worst.where} in {name} is {said} off from {numerics.reference}, at most {most} may be"
    if what == "gradient" and worst.base_error is not None:
        sentence += f". In {numerics.requirements.base}, its base, it is {worst.base_error:.3g} off"
    if worst.hidden:
        sentence += ". Zeros hide it at first, so that small random numbers are in their place"
    if what == "gradient" and worst.length is not None:
        alike = all(t.length is not None and math.isclose(t.length, worst.length, rel_tol=SAME_LENGTH) for t, *_ in wrong)
        those = ", and so are all that are too far off" if alike and len(wrong) > 1 else ""
        sentence += f". It points the same way, and is {worst.length:.3g} times as long{those}"
    elif error == 1:
        sentence += f". All of it is missing: {100 * worst.norm_share:.2g} % of the norm of the whole gradient"
    others = [t.name for t, _, _ in wrong if t is not worst]
    if others:
        more = f" and {len(others) - NAMED} more" if len(others) > NAMED else ""
        sentence += f". Others that are too far off: {', '.join(others[:NAMED])}{more}"
        last = wrong[-1][0]
        if what == "gradient" and last is not worst:
            sentence += f". The last of all these in the forward pass is {last.where}"
    return new_check(numerics, f"worst tensor's {what}", passed(not wrong), error, limit, sentence)
