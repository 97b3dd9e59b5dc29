"""Our steps of a workload against those of other trainers.

Each is built, compiled if it is to be, and timed once, alone. Then the fastest of ours takes turns with the fastest other, A B
B A, and that pair is what is judged. No more than a few steps are in memory at once, and each is compiled once where there is
memory for these few.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mpcore.data import Batch
from mpcore.device.nvml import NvmlSampler
from mpcore.execution import Compile, ReduceOverhead
from mpcore.measure.entrants import PLAIN, Entrants
from mpcore.measure.errors import CASE_ERRORS, lacks_memory, one_sentence
from mpcore.measure.memory import free_everything, free_memory
from mpcore.measure.setup import TimingSetup
from mpcore.measure.timing import TimedStep, interleave
from mpcore.precision import Inapplicable, precisions
from mpcore.records import Case, Entrant, Race, Turns
from mpcore.trainers import LoopStep, trainers
from mpcore.training.base import Step


@dataclass
class _Found:
    """What came of each case: its time, or by its id why there is no such step, or why it failed."""

    missing: dict[str, str]
    timed: dict[Case, Entrant] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def measure_race(case: Case, among: Entrants, setup_of: Callable[[Case], TimingSetup]) -> Race:
    """setup_of: what is needed to time a case. Raises Inapplicable where there is none of ours, or of theirs."""
    if not (among.ours and among.theirs):
        raise Inapplicable("; ".join(dict.fromkeys(among.missing.values())) or "there is no other trainer")
    free_everything()
    steps, same, sampler = _Steps(setup_of), same_mode(case), setup_of(case).sampler
    with precisions[case.precision]().settings():
        found = _each_alone(among, same, steps)
        timed, fastest = found.timed, _leaders(found.timed, among)
        pairs = {pair for pair in (fastest, same) if len(pair) == 2 and timed.keys() >= {*pair}}
        turns: dict[tuple[Case, ...], Turns | None] = {pair: _turns(pair, found, steps, sampler) for pair in pairs}
    steps.keep(())
    return Race(
        **setup_of(case).fields,
        ours=tuple(timed[each] for each in among.ours if each in timed),
        theirs=tuple(timed[each] for each in among.theirs if each in timed),
        missing=found.missing,
        failed=found.failed,
        fastest=turns.get(fastest),
        same_mode=turns.get(same),
    )


def same_mode(case: Case) -> tuple[Case, ...]:
    """Ours by `compile`, and plain PyTorch's by `reduce-overhead`."""
    ours = case.model_copy(update={"execution": Compile.name})
    return ours, case.model_copy(update={"execution": ReduceOverhead.name, "trainer": PLAIN})


def _each_alone(among: Entrants, same: Iterable[Case], steps: "_Steps") -> _Found:
    """What may be timed once more is kept."""
    found = _Found(dict(among.missing))
    for case in (*among.ours, *among.theirs):
        try:
            (found.timed[case],) = steps.time(case)
        except (Inapplicable, torch.cuda.OutOfMemoryError) as error:
            found.missing[case.id] = one_sentence(error)
        except CASE_ERRORS as error:
            found.failed[case.id] = one_sentence(error)
        steps.keep({*_leaders(found.timed, among), *same} & found.timed.keys())
    return found


def _leaders(timed: Mapping[Case, Entrant], among: Entrants) -> tuple[Case, ...]:
    """The fastest of ours and the fastest of theirs, as far as there are any."""
    sides = ([case for case in side if case in timed] for side in (among.ours, among.theirs))
    return tuple(min(side, key=lambda case: timed[case].blocks.step_seconds) for side in sides if side)


def _turns(pair: tuple[Case, ...], found: _Found, steps: "_Steps", sampler: NvmlSampler) -> Turns | None:
    """None where one of the two fails, though it was timed alone."""
    try:
        ours, theirs = steps.time(*pair, narrow=True)
    except torch.cuda.OutOfMemoryError:
        ours, theirs = (found.timed[case] for case in pair)
        return Turns(ours=ours, theirs=theirs, apart=True)
    except CASE_ERRORS as error:
        found.failed[" in turns with ".join(case.id for case in pair)] = one_sentence(error)
        return None
    return Turns(ours=ours, theirs=theirs, gpu=sampler.summary())


class _Steps:
    """Those that were built, for as long as they are kept."""

    def __init__(self, setup_of: Callable[[Case], TimingSetup]) -> None:
        self._setup_of = setup_of
        self._built: dict[Case, TimedStep] = {}
        self._room = True

    def time(self, *cases: Case, narrow: bool = False) -> list[Entrant]:
        """In turns; until the interval of their ratio is narrow enough, or for a few blocks. What is kept of other cases makes
        room where it is needed. Raises OutOfMemoryError."""
        crowded = not self._built.keys() <= {*cases}
        found = self._time(cases, narrow)
        if found is None:
            self._room = False
            self.keep(())
        if found is None and crowded:
            found = self._time(cases, narrow)
        if found is None:
            raise torch.cuda.OutOfMemoryError("the GPU has no memory for it")
        return found

    def keep(self, cases: Iterable[Case]) -> None:
        """Gives back what all others hold; what any holds, once one found no memory beside others."""
        kept = {*cases} if self._room else set()
        self._built = {case: timed for case, timed in self._built.items() if case in kept}
        free_memory()

    def _time(self, cases: Sequence[Case], narrow: bool) -> list[Entrant] | None:
        """None where there is no memory."""
        try:
            steps = [self._step(case) for case in cases]
            setup = self._setup_of(cases[-1])
            dropped = interleave(steps, setup.target if narrow else math.inf, setup.sampler)
        except CASE_ERRORS as error:
            if not lacks_memory(error):
                raise
            return None
        return [_entrant(case, step, dropped) for case, step in zip(cases, steps, strict=True)]

    def _step(self, case: Case) -> TimedStep:
        if case not in self._built:
            setup = self._setup_of(case)
            step = setup.build()
            self._built[case] = setup.timed(AsWritten(step) if isinstance(step, LoopStep) else step)
        return self._built[case]


class AsWritten(Step):
    """Another's loop, as its author calls it: what mpcore puts around each call is no part of it."""

    def __init__(self, step: LoopStep) -> None:
        self.label = step.label
        self.device = step.device
        self.capabilities = step.capabilities
        self._step = step
        self._call = step.as_written

    @property
    def captured(self) -> bool:
        return self._step.captured

    def set_rate(self, share: float) -> None:
        self._step.set_rate(share)

    def __call__(self, batch: Batch) -> Tensor:
        return self._call(batch)


def _entrant(case: Case, timed: TimedStep, dropped: int) -> Entrant:
    trainer = trainers[case.trainer]
    return Entrant(
        case=case,
        trainer=trainer.called(),
        trainer_version=trainer.version(),
        blocks=timed.blocks,
        dropped_blocks=dropped,
        while_timed=tuple(timed.compiled),
    )
