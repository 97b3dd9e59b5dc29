"""How far a step is from the same step in FP64: on one fixed batch, from the same weights, dropout off.

Accuracy moves by chance and forgives much; this does not. Loss and gradient show a wrong cast or a dead loss scale. The sum of
the first updates shows lost master weights, which no gradient can.
"""

import math
import time

import torch
from torch import Tensor

from mpcore.data import Batch
from mpcore.device.flops import FlopCount
from mpcore.measure.finite import first_not_finite, is_finite
from mpcore.measure.observation import observe
from mpcore.measure.requirements import against_fp32
from mpcore.measure.setup import Setup
from mpcore.measure.tensors import errors_by_tensor
from mpcore.measure.yardstick import Yardstick
from mpcore.precision import precisions
from mpcore.records import Numerics


def measure_numerics(setup: Setup, batch: Batch, yardstick: Yardstick, base: Numerics | None = None) -> Numerics:
    """Where something is not finite, the place where it first is not, in the place of errors by tensor. base: of the mode that
    this one is a variant of."""
    in_fp64 = yardstick.failure is None
    required = setup.requirements if in_fp64 else against_fp32(setup.requirements, setup.modelled)
    if in_fp64:
        yardstick.rounding_errors(precisions[setup.case.precision].roundoff())  # before there is a step beside it in memory
    step, truth = setup.train_step(dropout=False), yardstick.observed
    start = time.perf_counter()
    observed = observe(step, batch, learning_rate=truth.learning_rate, drawn=yardstick.draws)
    loss_scale = step.scale_state().loss_scale
    with FlopCount(step.fp32_on_purpose) as flops:
        step.launch(batch)
    finite = is_finite(observed)
    in_base = base.tensors if base else None
    told = finite and in_fp64
    tensors = errors_by_tensor(step, observed, yardstick, required.update_error, in_base) if told else None
    del step  # makes room for those that are followed
    followed = not finite and not (required.negative_control and math.isfinite(observed.loss))
    return Numerics(
        **setup.fields | {"batch_size": len(next(iter(batch.values()))), "requirements": required},
        reference=yardstick.reference,
        seconds=time.perf_counter() - start,
        loss_error=_relative(abs(observed.loss - truth.loss), abs(truth.loss)),
        gradient_error=relative_error(observed.gradients, truth.gradients),
        flushed_share=_flushed_share(observed.gradients, truth.gradients),
        updates=observed.made,
        update_error=relative_error(observed.updates, truth.updates),
        skipped_steps=observed.skipped,
        low_precision_flops_share=flops.low_precision_share if flops.total else None,
        fp32_on_purpose=flops.fp32_on_purpose,
        tensors=tensors,
        remark=yardstick.remark,
        not_finite=first_not_finite(setup, batch, truth.learning_rate, loss_scale) if followed else None,
    )


def relative_error(values: dict[str, Tensor], truth: dict[str, Tensor]) -> float:
    """|values - truth| / |truth| over all tensors together; a tensor that is missing counts as zero."""
    difference = sum((values.get(name, torch.zeros_like(t)) - t).square().sum() for name, t in truth.items())
    norm = sum(t.square().sum() for t in truth.values())
    return math.sqrt(_relative(float(difference), float(norm)))


def _relative(difference: float, truth: float) -> float:
    """Nothing is infinitely far from 0."""
    return difference / truth if truth else math.inf if difference else 0.0


def _flushed_share(values: dict[str, Tensor], truth: dict[str, Tensor]) -> float:
    flushed = sum(int(((values.get(name, torch.zeros_like(t)) == 0) & (t != 0)).sum()) for name, t in truth.items())
    return flushed / max(sum(int((t != 0).sum()) for t in truth.values()), 1)
