"""Whether ranks train the same a second time, and a graph as Python does: two trainings from one seed, bit for bit.

Their kernels add in one order where torch has such, and the model's dropout is off: a graph draws other numbers than Python.
"""

from contextlib import nullcontext
from dataclasses import replace
from itertools import count
from typing import NamedTuple

from mpcore.device import agreement
from mpcore.device.determinism import in_one_order, lacks_order
from mpcore.execution import Eager, executions
from mpcore.execution.graph import CaptureError, warm_up_calls
from mpcore.measure.draws import draws
from mpcore.measure.errors import give_back, lacks_memory, one_sentence
from mpcore.measure.replicas import Trained, hashes_of, train, trained
from mpcore.measure.setup import TimingSetup
from mpcore.records import OWN_STRATEGY, OWN_TRAINER, Repetition

REPLAYED = 4
"""Steps, once a graph is captured."""
PATIENCE_SECONDS = 30.0
"""Of a rank that has no kernels of one order, for the others."""
NOT_CAPTURED = "in so many steps no graph of it was captured"
DRAWN = "it draws random numbers, and a graph draws others than Python does"
IN_ANY_ORDER = "one rank by itself trains otherwise a second time, for its kernels add in any order"
OF_NCCL = "in a graph NCCL may add what more than two ranks send in another order; expected --mp-gpus 2, which tells"
_attempts = count()


class Twice(NamedTuple):
    """Two trainings. by_python: whether Python launched the second, and the first was replayed. excuse: why they differ, or are
    none to compare."""

    first: Trained
    second: Trained
    by_python: bool
    excuse: str | None


def repetition(setup: TimingSetup, *, sharded: bool) -> Repetition | None:
    """None of replicas that Python launches: their ranks are compared with each other."""
    if not (sharded or executions[setup.case.execution].captures(setup.device)):
        return None
    steps = warm_up_calls() + REPLAYED
    found, refusal = _in_one_order(setup, steps, sharded)
    excuse = found.excuse
    if excuse is None and found.first.differs(found.second):
        excuse = _excuse(setup, steps, refusal, by_python=found.by_python)
    return Repetition(
        steps=steps,
        first=tuple(found.first.states),
        second=tuple(found.second.states),
        by_python=found.by_python,
        apart=found.first.apart(found.second),
        excuse=excuse,
    )


def _in_one_order(setup: TimingSetup, steps: int, sharded: bool) -> tuple[Twice, str | None]:
    """Two trainings by kernels that add in one order. Where that cannot be, as they are, and why."""
    this, refusal = f"one order {next(_attempts)}", None
    try:
        with in_one_order():
            found = _twice(setup, steps, sharded)
    except Exception as error:
        refusal = _refusal(error)
        if refusal is None or not _all_refused(this):
            raise
        give_back(error)
    else:
        agreement.leave_word(this, "trained")
        return found, None
    return _twice(setup, steps, sharded), refusal  # not where the error is caught, or it would be the cause of the next one


def _twice(setup: TimingSetup, steps: int, sharded: bool) -> Twice:
    """Shards of a step that draws are replayed in both."""
    step = train(setup, steps, dropout=False)
    first, replayed = trained(step), not agreement.any_rank(not step.captured)
    del step
    if not (replayed or sharded):
        return Twice(first, first, False, NOT_CAPTURED)
    step = train(setup, steps, dropout=False, by_python=replayed)
    second = trained(step)
    if not (replayed and first.differs(second) and agreement.any_rank(draws(step, setup.batches_of(step)[0]))):
        return Twice(first, second, replayed, None)
    del step
    if not sharded:
        return Twice(first, second, True, DRAWN)
    return Twice(first, trained(train(setup, steps, dropout=False)), False, None)


def _excuse(setup: TimingSetup, steps: int, refusal: str | None, *, by_python: bool) -> str | None:
    """Why two trainings differ through no fault of ranks or graphs; None where it is one. A step that exists already is taken
    to repeat, for a rank alone cannot be asked."""
    if by_python and setup.device.type == "cuda" and agreement.ranks() > 2:
        return OF_NCCL
    if setup.case.strategy == OWN_STRATEGY:
        return refusal
    with nullcontext() if refusal else in_one_order():
        return None if _repeats_alone(setup, steps) else refusal or IN_ANY_ORDER


def _refusal(error: Exception) -> str | None:
    """Why kernels of one order cannot train the step, None where the error has another cause."""
    if reason := lacks_order(error):
        return reason
    known = isinstance(error, CaptureError) or lacks_memory(error)
    return f"by kernels that add in one order it fails: {one_sentence(error)}" if known else None


def _all_refused(this: str) -> bool:
    """Whether no rank goes on, and waits for this one."""
    agreement.leave_word(this, "refused")
    found = agreement.words(this, PATIENCE_SECONDS)
    return [*found.values()] == ["refused"] * agreement.ranks()


def _repeats_alone(setup: TimingSetup, steps: int) -> bool:
    """Whether each rank comes to the same weights twice, without any other and launched by Python. Where one alone has no
    memory for the model it is taken to."""
    case = setup.case
    execution = case.execution if case.trainer == OWN_TRAINER else Eager.name
    single = {"strategy": "single", "gpus": 1, "trainer": OWN_TRAINER, "execution": execution}
    alone = replace(setup, case=case.model_copy(update=single))
    found = []
    try:
        found = [hashes_of(train(alone, steps, dropout=False, by_python=True)) for _ in range(2)]
    except Exception as error:
        if not lacks_memory(error):
            raise
        give_back(error)
    return not agreement.any_rank(found[:1] != found[1:])
