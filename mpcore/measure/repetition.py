"""Whether ranks train the same a second time, and a graph as Python does: two trainings from one seed, bit for bit.

Their kernels add in one order where torch has such, and the model's dropout is off: a graph draws other numbers than Python.
"""

from contextlib import nullcontext
from dataclasses import replace
from itertools import count

from mpcore.device import agreement
from mpcore.device.determinism import in_one_order, lacks_order
from mpcore.execution import executions
from mpcore.execution.graph import CaptureError
from mpcore.measure.draws import draws
from mpcore.measure.errors import give_back, lacks_memory, one_sentence
from mpcore.measure.replicas import Trained, hashes_of, train, trained
from mpcore.measure.setup import TimingSetup
from mpcore.records import OWN_STRATEGY, OWN_TRAINER, Repetition

STEPS = 8
"""Some are replayed where the step is captured."""
PATIENCE_SECONDS = 30.0
"""Of a rank that has no kernels of one order, for the others."""
OTHER_GRADIENTS = "one rank by itself trains otherwise a second time, for its kernels add in any order"
DRAWN = "it draws random numbers, and a graph draws others than Python does"
Twice = tuple[Trained, Trained, bool]
"""And whether it draws."""
_attempts = count()


def repetition(setup: TimingSetup, *, sharded: bool) -> Repetition | None:
    """None of replicas that Python launches: their ranks are compared with each other."""
    replayed = executions[setup.case.execution].captures(setup.device)
    if not (sharded or replayed):
        return None
    first, second, drawn, refusal = _in_one_order(setup, replayed)
    by_python = replayed and not drawn
    excuse = None
    if not (sharded or by_python):
        excuse = DRAWN
    elif first.differs(second):
        excuse = _excuse(setup, refusal)
    return Repetition(
        steps=STEPS,
        first=tuple(first.states),
        second=tuple(second.states),
        by_python=by_python,
        apart=first.apart(second),
        excuse=excuse,
    )


def _in_one_order(setup: TimingSetup, replayed: bool) -> tuple[Trained, Trained, bool, str | None]:
    """Two trainings by kernels that add in one order. Where that cannot be, as they are, and why."""
    this, refusal = f"one order {next(_attempts)}", None
    try:
        with in_one_order():
            found = _twice(setup, replayed)
    except Exception as error:
        refusal = _refusal(error)
        if refusal is None or not _all_refused(this):
            raise
        give_back(error)
    else:
        agreement.leave_word(this, "trained")
        return *found, None
    return *_twice(setup, replayed), refusal  # not where the error is caught, or it would be the cause of the next one


def _twice(setup: TimingSetup, replayed: bool) -> Twice:
    """What draws is replayed in the second training, too."""
    step = train(setup, STEPS, dropout=False)
    first = trained(step)
    drawn = replayed and agreement.any_rank(draws(step, setup.batches_of(step)[0]))
    del step
    return first, trained(train(setup, STEPS, dropout=False, by_python=replayed and not drawn)), drawn


def _excuse(setup: TimingSetup, refusal: str | None) -> str | None:
    """Why two trainings differ through no fault of ranks or graphs; None where it is one. A step that exists already is taken
    to repeat, for a rank alone cannot be asked."""
    if setup.case.strategy == OWN_STRATEGY:
        return refusal
    with nullcontext() if refusal else in_one_order():
        return None if _repeats_alone(setup) else refusal or OTHER_GRADIENTS


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


def _repeats_alone(setup: TimingSetup) -> bool:
    """Whether each rank comes to the same weights twice, without any other."""
    single = {"strategy": "single", "gpus": 1, "trainer": OWN_TRAINER}
    alone = replace(setup, case=setup.case.model_copy(update=single))
    first, second = (hashes_of(train(alone, STEPS, dropout=False)) for _ in range(2))
    return not agreement.any_rank(first != second)
