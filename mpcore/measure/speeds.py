"""The speeds of one session, each case beside its references, which are measured once where their steps repeat well."""

import itertools
import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

import torch

from mpcore.device import agreement
from mpcore.execution import executions
from mpcore.measure.ceiling import copied_bytes, matmul_flops
from mpcore.measure.errors import CASE_ERRORS, failure_of
from mpcore.measure.memory import free_memory
from mpcore.measure.requirements import can_run
from mpcore.measure.setups import Setups
from mpcore.measure.speed import measure_speed
from mpcore.measure.work import measure_work
from mpcore.precision import precisions
from mpcore.records import Case, Drift, Failure, Reference, Speed, Work
from mpcore.workloads import OwnStep

REFERENCES = ("fp32", "tf32")
DRIFT_BLOCKS = 3
"""That a reference is timed for once more: enough for a drift of per cents."""
NO_MEMORY = "it finds no memory"


class Speeds:
    """Of the cases that `setups` are made of. make_room: gives up what else the session keeps on the device."""

    def __init__(self, setups: Setups, make_room: Callable[[], None]) -> None:
        self._setups = setups
        self._make_room = make_room
        self._speeds: dict[Case, Speed] = {}
        self._works: dict[Case, Work] = {}
        self._failed: dict[Case, Failure] = {}
        self._ceilings: dict[tuple[torch.dtype, bool], float | None] = {}

    def speed(self, case: Case) -> Speed:
        """Once a session. Captured steps repeat so well that their references are measured once, as cases of their own. Eager
        ones take turns with theirs, and a variant with its base. A reference that cannot be measured is left out."""
        if case not in self._speeds:
            self._make_room()
            names, references = self._timed_against(case)
            speed, self._works[case] = self._measured(case, references)
            self._speeds[case] = self._with_missing(speed, names)
        return self._speeds[case]

    def alone(self, case: Case) -> Speed:
        """The speed of `case` without references, measured anew."""
        self._make_room()
        return self._measured(case, {})[0]

    def work(self, case: Case) -> Work:
        """What a step of `case` does, once a session; where its speed is measured, it was counted then."""
        if case not in self._works:
            self._make_room()
            self._works[case] = measure_work(self._setups.timing(case))
        return self._works[case]

    def drift(self, case: Case) -> Drift | None:
        """How much longer the references of the case's workload take now than when they were measured. None where they took
        turns with each case, or were not measured. Compiled ones drift as the others do, and take long to be had again."""
        again = self._setups.captured(case) and not executions[case.execution].compiles
        names = self._reference_names(case) if again else []
        firsts = [self._speeds.get(case.in_precision(name)) for name in names]
        shares = {s.case.precision: self._time_again(s.case) / s.blocks.step_seconds - 1 for s in firsts if s is not None}
        return Drift(**self._setups.of(case.in_precision(next(iter(shares)))).fields, shares=shares) if shares else None

    def references_of(self, case: Case) -> list[str]:
        """The references before `case` that can be run. For a compiled case none is compiled that was not asked for. That would
        take longer than all else, and AMP is shown to be faster as a graph."""
        before = itertools.takewhile(lambda name: name != case.precision, self._reference_names(case))
        found = [name for name in before if can_run(case.in_precision(name), self._setups.device)]
        if not executions[case.execution].compiles:
            return found
        return [name for name in found if case.in_precision(name) in self._speeds]

    def _timed_against(self, case: Case) -> tuple[list[str], dict[str, Reference | None]]:
        """The modes that `case` is timed against; and how each was measured alone, None where it is to take turns with the
        case. One that failed alone takes no turns."""
        names, base = self.references_of(case), self._setups.base(case)
        found: dict[str, Reference | None] = dict.fromkeys(names)
        if self._setups.captured(case):
            alone = {name: self._reference(case.in_precision(name)) for name in names}
            found = {name: reference for name, reference in alone.items() if reference is not None}
        turns: dict[str, Reference | None] = {} if base is None else {base: None}
        return [*names, *turns], found | turns

    def _with_missing(self, speed: Speed, names: Sequence[str]) -> Speed:
        """With why a reference is missing. A case need not beat what needs more memory than there is."""
        failed = {n: self._failed.get(speed.case.in_precision(n)) for n in names if n not in speed.references}
        missing = {name: failure.sentence if failure else NO_MEMORY for name, failure in failed.items()}
        large = {name for name, failure in failed.items() if failure is None or failure.large}
        must_beat = tuple(name for name in self._must_beat(speed, names) if name not in large)
        required = speed.requirements.model_copy(update={"must_beat": must_beat})
        return speed.model_copy(update={"missing": missing, "requirements": required})

    def _must_beat(self, speed: Speed, names: Sequence[str]) -> tuple[str, ...]:
        """Of a compiled case only the modes that it was to be timed against."""
        must = speed.requirements.must_beat
        return tuple(name for name in must if name in names) if executions[speed.case.execution].compiles else must

    def _reference_names(self, case: Case) -> list[str]:
        entry = self._setups.entry(case)
        if not isinstance(entry, OwnStep):
            return list(REFERENCES)
        return [name for name in entry.precisions if name in (*REFERENCES, *entry.must_beat, entry.reference)]

    def _reference(self, case: Case) -> Reference | None:
        """A case that others are compared with; None, once and for all, where it fails."""
        if case not in self._failed:
            try:
                speed = self.speed(case)
                return Reference(blocks=speed.blocks, rounds=None, dropped_blocks=speed.dropped_blocks)
            except CASE_ERRORS as error:
                if agreement.ranks() > 1:  # the others may wait for this one
                    raise
                self._failed[case] = failure_of(case, error, self._setups.device)
        return None

    def _time_again(self, case: Case) -> float:
        """Seconds of a step."""
        free_memory()
        timed = self._setups.timing(case).timed_step(case.precision)
        timed.warm_up()
        return statistics.median(timed.block(n, self._setups.sampler)[0] for n in range(DRIFT_BLOCKS)) / timed.steps

    def _measured(self, case: Case, references: Mapping[str, Reference | None]) -> tuple[Speed, Work]:
        copied = self._copied
        speed, work = measure_speed(self._setups.timing(case), references, self._ceiling(case))
        return speed.model_copy(update={"ceiling_bytes": copied}), work

    @cached_property
    def _copied(self) -> float | None:
        free_memory()
        return copied_bytes(self._setups.device)

    def _ceiling(self, case: Case) -> float | None:
        """Of the format that its mode computes in, once a session. None for a precision that is no mode."""
        if case.precision not in precisions.names() or not (mode := precisions[case.precision]()).has_ceiling:
            return None
        key = mode.dtype, mode.tf32
        if key not in self._ceilings:
            free_memory()
            self._ceilings[key] = matmul_flops(mode, self._setups.device)
        return self._ceilings[key]
