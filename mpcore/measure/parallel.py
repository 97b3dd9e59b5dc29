"""Whether ranks that train together stay together, and average what they are to average.

All is exact but the errors of gradients. Those are of gradients and not of updates, for Adam hides a wrong factor, and without
clipping, which hides it, too. FP64 says what is right: one rank with the batch of all, in as many parts.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from mpcore.data import Batch, Split
from mpcore.device import agreement
from mpcore.device.dispatch import Dispatch
from mpcore.measure.collectives import sent
from mpcore.measure.draws import same_numbers
from mpcore.measure.joint import PARTS, Joint, accumulating
from mpcore.measure.memory import free_memory
from mpcore.measure.observation import observe
from mpcore.measure.repetition import repetition
from mpcore.measure.replicas import STEPS, ranks_of, unlike
from mpcore.measure.requirements import against_fp32, beyond_rounding, explained_by_rounding, says_conditioning
from mpcore.measure.setup import Setup, TimingSetup
from mpcore.measure.work import model_of
from mpcore.measure.yardstick import relative_error
from mpcore.precision import Inapplicable, Precision, precisions
from mpcore.precision.pure import FP64
from mpcore.records import OWN_TRAINER, OnePart, Operation, Parallel, Requirements
from mpcore.records.work import compressed
from mpcore.strategies import strategies
from mpcore.trainers import trainers
from mpcore.training.of_workload import WorkloadStep
from mpcore.training.parts import rank_rows
from mpcore.training.step import TrainStep


def measure_parallel(setup: TimingSetup, joint: Joint | None) -> Parallel:
    """joint: None of a step that exists already."""
    ranks = ranks_of(setup)
    repeated = repetition(setup, sharded=ranks.sharded)
    averaged = {} if joint is None else _averaged(setup, rank_rows(joint.rows), joint)
    found = Parallel(
        **setup.fields,
        steps=STEPS,
        sharded=ranks.sharded,
        ranks=tuple(ranks.trained.states),
        repetition=repeated,
        apart=() if ranks.sharded else ranks.trained.apart(),
        one_batch=ranks.one_batch,
        kernels=ranks.kernels,
        planted=ranks.planted,
        collectives=ranks.collectives,
        alike=ranks.alike,
        reduction=ranks.reduced[0] if ranks.reduced else "",
        reduced=ranks.reduced[1] if ranks.reduced else None,
        **averaged,
    )
    return found if joint is None else found.model_copy(update={"requirements": _required(setup, joint, found)})


def _required(setup: Setup, joint: Joint, found: Parallel) -> Requirements:
    """As of the errors of one GPU: wider where FP64 cannot run, or rounding alone does more than the usual cap. What rounding
    does takes FP64 steps, and is asked only of a gradient that is beyond the cap."""
    workload, required, rows = setup.modelled, setup.requirements, len(Split(joint.rows))
    if joint.reference != FP64.name:
        required = against_fp32(required, workload)
    if says_conditioning(workload, rows) or not agreement.any_rank(_beyond(required.gradient_error, found)):
        return required
    roundoff = precisions[setup.case.precision].roundoff()
    rounding = joint.rounding(roundoff)
    return (
        required if rounding is None else beyond_rounding(required, explained_by_rounding(rounding, workload, roundoff, rows))
    )


def _beyond(cap: float | None, found: Parallel) -> bool:
    """Whether an error of the gradient in the mode is."""
    errors = [found.mode_error, found.one_part.mode_error if found.one_part else None]
    return cap is not None and any(error is not None and error > cap for error in errors)


def _averaged(setup: Setup, part: Batch, joint: Joint) -> dict[str, Any]:
    """What a step of the mode sends and comes to, whose batch goes through in parts."""
    mode = precisions[setup.case.precision]
    spread = joint.spread_errors(setup)  # before anything of the mode takes memory
    in_one = _in_one(setup, mode, part, joint)
    step = _step_in(PARTS, setup, mode)
    observed = observe(step, part, updates=1)
    reduced = step.strategy.reduced if isinstance(step, TrainStep) else None
    seen = not (isinstance(step, TrainStep) and step.strategy.has_callbacks)
    with same_numbers(step), Dispatch(model_of(step)) as dispatched:
        called = sent(step, rank_rows(joint.rows, 0))
    operations = unlike(_without_shapes(dispatched.operations)) if seen else None
    del step, dispatched
    losses = tuple(agreement.gathered(observed.loss))
    found: dict[str, Any] = {
        "reference": joint.reference,
        "losses": losses if observed.made else None,
        "mode_error": relative_error(observed.gradients, joint.gradients),
        "operations": operations,
        **in_one,
    }
    if setup.case.trainer != OWN_TRAINER:
        return found | {"accumulated": sum(each.elements for each in called)}
    joint.mode_errors[setup.case.strategy, mode.name] = found["mode_error"]
    return found | {
        "accumulated": sum(c.elements for c in called if c.operation == reduced[0]) if reduced else None,
        **_of_like(setup, mode, part, joint),
        **asdict(spread),
        "joint_too_large": joint.too_large,
        "settling": observed.skipped if mode.scales else None,
        "settling_alone": _settling_alone(setup, mode, part, PARTS) if mode.scales else None,
    }


def _without_shapes(operations: Mapping[Operation, int]) -> dict[str, int]:
    """By text: parts of weights may have other sizes on each rank."""
    counts: Counter[Operation] = Counter()
    for operation, times in operations.items():
        counts[operation._replace(shapes="")] += times
    return compressed(counts)


def _of_like(setup: Setup, mode: type[Precision], part: Batch, joint: Joint) -> dict[str, Any]:
    """What the strategy averages that this one is to be like, where there is one."""
    name = strategies[setup.case.strategy].like
    if name is None:
        return {}
    if joint.reference == mode.name:
        return {"like": name, "unlike": f"FP64 cannot run it, and against {joint.reference} itself errors are chance"}
    try:
        if agreement.any_rank((name, mode.name) not in joint.mode_errors):  # one may have failed where others had not
            like = accumulating(setup, mode, PARTS, strategies[name](setup.device))
            found = observe(like, part, updates=1).gradients
            joint.mode_errors[name, mode.name] = relative_error(found, joint.gradients)
    except Inapplicable as error:  # as of a weight that no loss reaches, which only the other strategy must have averaged
        return {"like": name, "unlike": str(error)}
    return {"like": name, "like_error": joint.mode_errors[name, mode.name]}


def _settling_alone(setup: Setup, mode: type[Precision], part: Batch, parts: int) -> int:
    """Steps that are skipped where each rank trains by itself, of the one that skips most."""
    return int(agreement.largest(observe(accumulating(setup, mode, parts), part, updates=1).skipped))


def _in_one(setup: Setup, mode: type[Precision], part: Batch, joint: Joint) -> dict[str, Any]:
    """A batch that goes through at once may travel another way than what parts add up to."""
    if agreement.any_rank(joint.in_one is None):
        return {"one_part_too_large": True}
    observed = observe(_step_in(1, setup, mode), part, updates=1)
    losses = tuple(agreement.gathered(observed.loss))
    own = mode.scales and setup.case.trainer == OWN_TRAINER
    one = OnePart(
        losses=losses if observed.made else None,
        mode_error=relative_error(observed.gradients, joint.in_one or {}),
        settling=observed.skipped if own else None,
        settling_alone=_settling_alone(setup, mode, part, 1) if own else None,
    )
    return {"one_part": one}


def _step_in(parts: int, setup: Setup, mode: type[Precision]) -> WorkloadStep:
    """A step of the case with dropout off and without clipping, by its trainer, whose batch goes through in `parts`."""
    case, strategy = setup.case, strategies[setup.case.strategy](setup.device)
    if case.trainer == OWN_TRAINER:
        return accumulating(setup, mode, parts, strategy)
    free_memory()
    workload = setup.modelled.with_recipe(accumulation=parts, max_norm=None)
    options: dict[str, Any] = {"seed": case.seed, "dropout": False, "strategy": strategy}
    return trainers[case.trainer]().step(workload, mode(keep_fp32=case.keep_fp32), setup.device, **options)
