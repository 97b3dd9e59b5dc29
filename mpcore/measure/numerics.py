"""How far a step is from the same step in FP64: on one fixed batch, from the same weights, dropout off.

Accuracy moves by chance and forgives much; this does not. Loss and gradient show a wrong cast or a dead loss scale. The sum of
the first updates shows lost master weights, which no gradient can.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from mpcore.data import Batch, Split
from mpcore.device.flops import FlopCount
from mpcore.measure.errors import lacks_memory, one_sentence
from mpcore.measure.finite import first_not_finite, is_finite
from mpcore.measure.memory import free_memory
from mpcore.measure.observation import UPDATES, observe
from mpcore.measure.requirements import against_fp32, beyond_rounding, explained_by_rounding, updates_beyond_rounding
from mpcore.measure.setup import Setup
from mpcore.measure.tensors import NormsIn16Bits, errors_by_tensor
from mpcore.measure.yardstick import NO_ROUNDING, NOT_JUDGED, RoundingErrors, Yardstick, relative, relative_error
from mpcore.precision import Inapplicable, PrecisionError, precisions
from mpcore.records import Numerics
from mpcore.workloads import WorkloadError


def measure_numerics(setup: Setup, batch: Batch, yardstick: Yardstick, base: Numerics | None = None) -> Numerics:
    """Where something is not finite, the place where it first is not, in the place of errors by tensor. base: of the mode that
    this one is a variant of."""
    required = setup.requirements if yardstick.failure is None else against_fp32(setup.requirements, setup.modelled)
    cap = required.update_error  # of single tensors, which stay as sharp
    rounding, remark = _rounding(setup, yardstick)  # before there is a step beside it in memory
    rows, roundoff = len(Split(batch)), precisions[setup.case.precision].roundoff()
    explained = partial(explained_by_rounding, workload=setup.modelled, roundoff=roundoff, rows=rows)
    if rounding is not None:
        required = beyond_rounding(required, explained(rounding.whole))
    step, truth = setup.train_step(dropout=False), yardstick.observed
    start = time.perf_counter()
    observed = observe(step, batch, learning_rate=truth.learning_rate, drawn=yardstick.draws, kept_on=yardstick.kept_on)
    loss_scale = step.scale_state().loss_scale
    with FlopCount(step.fp32_on_purpose) as flops, NormsIn16Bits() as norms:
        step.launch(batch)
    finite = is_finite(observed)
    in_base = base.tensors if base else None
    judged = rounding if finite else None
    tensors = errors_by_tensor(step, observed, yardstick, judged, cap, norms.weights, in_base) if judged else None
    beyond = [t.name for t in tensors or () if t.update_share > 1]
    update_error = yardstick.update_error(observed)
    too_far = required.update_error is not None and required.update_error < min(explained(math.inf), update_error)
    if judged and (beyond or too_far) and observed.made == UPDATES:
        judged, whole, unknown = _with_all_updates(judged, beyond, yardstick, step.precision.roundoff())
        remark = "; ".join(filter(None, [remark, unknown])) or None
        required = updates_beyond_rounding(required, explained(whole))
        tensors = errors_by_tensor(step, observed, yardstick, judged, cap, norms.weights, in_base)
    del step  # makes room for those that are followed
    followed = not finite and not (required.negative_control and math.isfinite(observed.loss))
    return Numerics(
        **setup.fields | {"batch_size": rows, "requirements": required},
        reference=yardstick.reference,
        seconds=time.perf_counter() - start,
        loss_error=relative(abs(observed.loss - truth.loss), yardstick.terms),
        gradient_error=relative_error(observed.gradients, truth.gradients),
        flushed_share=_flushed_share(observed.gradients, truth.gradients),
        updates=observed.made,
        update_error=update_error,
        skipped_steps=observed.skipped,
        low_precision_flops_share=flops.low_precision_share if flops.total else None,
        fp32_on_purpose=flops.fp32_on_purpose,
        tensors=tensors,
        remark=remark,
        not_finite=first_not_finite(setup, batch, truth.learning_rate, loss_scale) if followed else None,
    )


def _rounding(setup: Setup, yardstick: Yardstick) -> tuple[RoundingErrors | None, str | None]:
    """What rounding alone does, None where that cannot be had; and what is to be known of the errors."""
    try:
        return yardstick.rounding_errors(precisions[setup.case.precision].roundoff()), yardstick.remark
    except Inapplicable as error:
        reason = f"{NOT_JUDGED}: {error}"
    except (PrecisionError, WorkloadError, torch.cuda.OutOfMemoryError) as error:
        without_memory = lacks_memory(error)
        if without_memory and (yardstick.failure is None or not yardstick.on_host):
            raise
        reason = f"no memory for runs with rounded results: {NOT_JUDGED}" if without_memory else f"{NO_ROUNDING} ({error})"
    free_memory()
    return None, "; ".join(filter(None, [yardstick.remark, f"{setup.case.precision}: {reason}"]))


def _with_all_updates(
    rounding: RoundingErrors, names: Sequence[str], yardstick: Yardstick, roundoff: float
) -> tuple[RoundingErrors, float, str | None]:
    """With what rounding does to all updates of the tensors in `names`, where that is more; what it does to all of the model;
    or why it is not known."""
    try:
        longer = yardstick.rounding_of_updates(roundoff)
    except (PrecisionError, WorkloadError, torch.cuda.OutOfMemoryError) as error:
        if lacks_memory(error) and not yardstick.on_host:
            raise
        of = f" of {names[0]}" if names else ""
        return rounding, 0.0, f"what rounding does to all updates{of} is not known ({one_sentence(error)})"
    more = {name: max(rounding.updates[name], longer.tensors[name]) for name in names}
    return replace(rounding, updates={**rounding.updates, **more}), longer.whole, None


def _flushed_share(values: dict[str, Tensor], truth: dict[str, Tensor]) -> float:
    flushed = sum(int((t[values[name] == 0] if name in values else t).count_nonzero()) for name, t in truth.items())
    return flushed / max(sum(int(t.count_nonzero()) for t in truth.values()), 1)
