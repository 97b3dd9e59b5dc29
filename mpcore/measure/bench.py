"""The bench: everything that is measured in one session on one device. It keeps what others are compared with: times of
references, trainings, the yardstick of the current workload, the encoded data."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import torch

from mpcore.data import Source
from mpcore.device import agreement
from mpcore.execution import Eager
from mpcore.measure.accuracy import check_shared, joined, measure_accuracy
from mpcore.measure.curves import measure_curves
from mpcore.measure.emulation import emulation_of
from mpcore.measure.entrants import entrants
from mpcore.measure.joint import PARTS, Joint, measure_joint
from mpcore.measure.memory import free_memory
from mpcore.measure.parallel import measure_parallel
from mpcore.measure.parity import training_parity
from mpcore.measure.preflight import check_cases
from mpcore.measure.race import measure_race, same_mode
from mpcore.measure.setups import TARGET, Setups
from mpcore.measure.speeds import Speeds
from mpcore.measure.step_time import measure_time
from mpcore.measure.yardsticks import Yardsticks
from mpcore.records import (
    OWN_TRAINER,
    Case,
    Drift,
    GradientProof,
    Numerics,
    Parallel,
    Parity,
    Quality,
    Race,
    Speed,
    Timing,
    Work,
)
from mpcore.strategies import strategies
from mpcore.trainers import Trainer
from mpcore.training.loop import Progress
from mpcore.training.of_workload import WorkloadStep
from mpcore.workloads import Entry, OwnStep

C = TypeVar("C", Parity, Race)
SEEDS = 3
"""Trainings of a mode: fewer say nothing of chance."""


class Bench:
    """source: where data come from. checkpoints: by workload, a folder or hub id that its trainings start from.
    tolerance_points: what a training may lose, in place of the workload's own. target: half-width of the 99 % intervals of
    times, as a share, that timing goes on for. progress: makes the reporter of one training from its title.

    A checkpoint decides where a training starts and what it trains. Speed and numerics are those of the architecture that the
    workload names, with random weights, and stay comparable.
    """

    def __init__(
        self,
        device: torch.device,
        source: Source | None = None,
        checkpoints: Mapping[str, str] | None = None,
        *,
        tolerance_points: float | None = None,
        target: float = TARGET,
        seeds: Sequence[int] = range(SEEDS),
        progress: Callable[[str], Progress] | None = None,
    ) -> None:
        self.setups = Setups(device, source, checkpoints, tolerance_points=tolerance_points, target=target)
        self.device, self.source, self.checkpoints = device, self.setups.source, self.setups.checkpoints
        self.progress = progress
        self._seeds = tuple(seeds)
        self._speeds = Speeds(self.setups, self._make_room)
        self._yardsticks = Yardsticks(self.setups)
        self._trainings: dict[Case, list[Quality]] = {}
        self._emulations: dict[Case, str | None] = {}
        self._joint: tuple[Case, Joint] | None = None

    def check(self, cases: Sequence[Case]) -> None:
        """Loads data and weights of the cases' workloads, so that what is wrong with them is said before anything is trained.
        Raises DataError, WorkloadError."""
        check_cases(self.setups, cases)

    def entry(self, case: Case) -> Entry:
        """The workload or the own step of `case`, made once."""
        return self.setups.entry(case)

    def speed(self, case: Case) -> Speed:
        """The time and the memory of a step, beside the references of the case; once a session."""
        return self._speeds.speed(case)

    def speed_alone(self, case: Case) -> Speed:
        """`case` without references, as it is measured once more in a fresh process where it seems to have got worse."""
        return self._speeds.alone(case)

    def work(self, case: Case) -> Work:
        """What a step of `case` does, once a session; where its speed is measured, it was counted then."""
        return self._speeds.work(case)

    def drift(self, case: Case) -> Drift | None:
        """How much longer the references of the case's workload take now than at first; None where none was measured alone."""
        return self._speeds.drift(case)

    def time(self, case: Case, *, profile: bool = False, slowdown: float = 1.0) -> Timing:
        """The time of a step and nothing else. slowdown: how many times longer a step is made to take."""
        self._make_room()
        return measure_time(self.setups.timing(case), profile=profile, slowdown=slowdown)

    def parallel(self, case: Case) -> Parallel:
        """What ranks have in common. To be asked on each of them."""
        self._yardsticks.forget()
        setup = self.setups.timing(case)
        if isinstance(setup.workload, OwnStep):
            return measure_parallel(setup, None)
        count = agreement.ranks()
        own = setup.modelled.numerics_rows[case.model_size] // count // PARTS * PARTS
        by = case.trainer if case.trainer == OWN_TRAINER else ""  # of all others it is the same
        mixing = case.strategy if strategies[case.strategy].mixes else ""  # all others average alike
        key = case.model_copy(update={"precision": "", "execution": "", "trainer": by, "strategy": mixing})
        if self._joint is None or self._joint[0] != key:
            self._joint = None
            self._joint = key, measure_joint(setup, self.setups.batch(case, slice(count * max(PARTS, own))))
        return measure_parallel(setup, self._joint[1])

    def release(self) -> None:
        """Gives back what is kept on the device, for another process."""
        self._make_room()
        free_memory()

    def _make_room(self) -> None:
        """Gives up what only errors are measured against."""
        self._yardsticks.forget()
        self._joint = None

    def accuracy(self, case: Case, rounds: int = 1) -> Quality:
        """The trainings of `case`, once a session. Before them come those that they are compared with: of its base for a
        variant, of FP32 for any other. Of a step that is spread, those on one GPU, which each rank makes by itself.
        rounds: each trains from as many seeds again, where there are other seeds."""
        made = self._trainings.setdefault(case, [])
        while not made or (len(made) < rounds and self._other_seeds(case)):
            made.append(self._trained(case, len(made)))
        return joined(made[:rounds])

    def _other_seeds(self, case: Case) -> bool:
        """Whether trainings differ by the seed: an own step may set one of its own, and is trained once."""
        known = [self._trainings.get(each) for each in (case, self._first_trained(case))]
        return all(len(rounds[-1].trainings) == len(self._seeds) for rounds in known if rounds)

    def _trained(self, case: Case, number: int) -> Quality:
        """The trainings of a round, counted from 0."""
        self._make_room()
        setup = self.setups.of(case, pretrained=True)
        own = isinstance(setup.workload, OwnStep)
        if not own:
            check_shared(setup)  # before others are trained in vain
        first = self._first_trained(case)
        if case != first:
            self.accuracy(first, number + 1)
        reference = None if case == first else self._trainings[first][number].scores
        seeds = [number * (1 + max(self._seeds)) + seed for seed in self._seeds]
        if own:
            return measure_curves(setup, seeds, reference, self.progress)
        return measure_accuracy(setup, seeds, self.setups.splits(setup.modelled), reference, self.progress)

    def _first_trained(self, case: Case) -> Case:
        """What the trainings of `case` are compared with. An own step that is spread has none on one GPU."""
        entry = self.entry(case)
        if isinstance(entry, OwnStep):
            return self.setups.made(case.in_precision(entry.reference))
        first = case.in_precision(self.setups.base(case) or "fp32")
        if case.spread:
            return first.model_copy(update={"strategy": "single", "gpus": 1, "trainer": OWN_TRAINER})
        return self.setups.made(first)

    def planted_accuracy(self, case: Case, plant: Callable[[WorkloadStep], None], reference: Quality | None) -> Quality:
        """Trainings whose steps have a fault. reference: what they are compared with, None for themselves."""
        self._make_room()
        setup = self.setups.of(case)
        scores = reference.scores if reference else None
        return measure_accuracy(setup, self._seeds, self.setups.splits(setup.modelled), scores, self.progress, plant)

    def numerics(self, case: Case) -> Numerics:
        """The errors of its steps against the FP64 yardstick of the workload; a variant's against its base's, too."""
        return self._yardsticks.numerics(case)

    def found_gradients(self, case: Case) -> GradientProof:
        """Of how many tensors a wrong gradient is found. Raises Inapplicable where FP64 cannot run, and no tensor is judged."""
        return self._yardsticks.found_gradients(case)

    def race(
        self,
        case: Case,
        modes: Sequence[str],
        trainers: Sequence[str],
        executions: Sequence[str] = (),
        *,
        at_least: float,
        same_mode_at_least: float | None = None,
    ) -> Race:
        """Our steps of the workload of `case` in `modes` against those of `trainers` in its mode. executions: of all of them,
        in place of the usual ones. at_least: how many times as fast as the fastest other our fastest must be.
        same_mode_at_least: the same of `compile` against plain PyTorch by `reduce-overhead`, both in the mode of the case."""
        self._make_room()
        among = entrants(case, modes, trainers, executions, self.device)
        asked = self.device.type == "cuda" and among.asked >= {each.id for each in same_mode(case)}
        found = measure_race(case, among, self.setups.timing)
        return _required(found, at_least=at_least, same_mode_at_least=same_mode_at_least if asked else None)

    def training_parity(self, case: Case, trainer: type[Trainer], at_least: float) -> Parity:
        """at_least: how many times as fast as the trainer's training the case's must be."""
        self._make_room()
        setup = self.setups.of(case, pretrained=True)
        found = training_parity(setup, self.setups.splits(setup.modelled), trainer)
        return _required(found, at_least=at_least)

    def emulated(self, case: Case) -> str | None:
        """Why `case` is too slow on this CPU for more than single steps, or None. A step is timed, once a session."""
        if case not in self._emulations:
            self._emulations[case] = self._emulation(case)
        return self._emulations[case]

    def _emulation(self, case: Case) -> str | None:
        if self.device.type != "cpu" or case.precision == "fp32":
            return None
        eager = self.setups.timing(case.model_copy(update={"execution": Eager.name}))
        if isinstance(eager.workload, OwnStep) and "fp32" not in eager.workload.precisions:
            return None
        return emulation_of(eager, self.setups.of(self.setups.made(eager.case.in_precision("fp32"))))


def _required(record: C, **least: float | None) -> C:
    return record.model_copy(update={"requirements": record.requirements.model_copy(update=least)})
