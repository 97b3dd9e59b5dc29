"""The errors of one session's cases, against yardsticks that are kept while the next case needs the same."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TypeVar

import torch

from mpcore.data import Batch
from mpcore.device.machine import fast_in_fp64, memory_class
from mpcore.execution import Eager
from mpcore.gate import checks
from mpcore.measure.errors import CASE_ERRORS, CaseFailed, failure_of, give_back, lacks_memory, one_sentence
from mpcore.measure.hidden import Opened, opened, remarked, without_zeros
from mpcore.measure.memory import free_memory
from mpcore.measure.numerics import measure_numerics
from mpcore.measure.observation import observe
from mpcore.measure.setup import Setup
from mpcore.measure.setups import Setups
from mpcore.measure.wrong_gradients import found_gradients
from mpcore.measure.yardstick import Yardstick
from mpcore.precision import Inapplicable, Precision, PrecisionError, precisions
from mpcore.precision.pure import FP64
from mpcore.records import OWN_TRAINER, Case, GradientProof, Numerics
from mpcore.training.step import TrainStep
from mpcore.workloads import Workload
from mpcore.workloads.checked import WorkloadError

ERRORS = {"loss error", "gradient error", "update error", "worst tensor's gradient", "worst tensor's update"}
"""Metrics that another choice may change."""
OTHER_CHOICES = (
    "it chooses by its numbers, and rounding alone changes a choice. Its errors are against FP64 with results that are rounded "
    "to the format, where they lead to the same choice"
)
HOST = torch.device("cpu")
M = TypeVar("M")


class Yardsticks:
    """Of the cases that `setups` are made of: one yardstick at a time, and what was measured last of each case."""

    def __init__(self, setups: Setups) -> None:
        self._setups = setups
        self._measured: dict[Case, Numerics] = {}
        self._kept: _Kept | None = None
        self._on_host: set[_Key] = set()
        """Of yardsticks beside which the GPU had no room for what is compared."""

    def numerics(self, case: Case) -> Numerics:
        """Measured anew. A variant is held against its base, too. Where memory ends, what is compared is kept on the host.
        Raises Inapplicable for an own step, whose precision may be no mode of mpcore."""
        return self._with_room(case, self._numerics)

    def _numerics(self, case: Case) -> Numerics:
        rows = self.rows(case)
        base = self._base_numerics(case)
        kept = self._yardstick(case)
        free_memory()
        batch = self._setups.batch(case, slice(rows))
        setup = self._setups.of(case)
        found = measure_numerics(setup, batch, kept.yardstick, base)
        if not _passes(found):
            found = _of_other_choices(found, setup, batch, kept.yardstick, base)
        if found.tensors is not None and (opened := kept.opened) is not None:
            found = _with_hidden(opened, found, setup, batch, base)
        self._measured[case] = found
        return found

    def found_gradients(self, case: Case) -> GradientProof:
        """Of how many tensors a wrong gradient is found. Raises Inapplicable where FP64 cannot run, and no tensor is judged."""
        return self._with_room(case, self._found_gradients)

    def _found_gradients(self, case: Case) -> GradientProof:
        numerics, rows = self._numerics(case), self.rows(case)
        if numerics.reference not in (FP64.name, "fp32"):
            raise Inapplicable(f"{case.workload} chooses by its numbers in {case.precision}: {numerics.remark}")
        if not numerics.tensors:
            raise Inapplicable(f"no tensor of {case.workload} is judged in {case.precision}")
        batches = self._setups.batch(case, slice(rows)), self._setups.batch(case, slice(rows, 2 * rows))
        return found_gradients(self._setups.of(case), numerics, *batches, self._yardstick(case).yardstick)

    def forget(self) -> None:
        """Gives up the yardstick, which holds a model and its gradients."""
        self._kept = None

    def rows(self, case: Case) -> int:
        """Of the batch that is computed in FP64, too."""
        device = self._setups.device
        return self._setups.workload(case).compared_rows(case.size, memory_class(device), fast_in_fp64(device))

    def _with_room(self, case: Case, measure: Callable[[Case], M]) -> M:
        """`measure` of `case`; once more with what is compared on the host, where memory ends without."""
        workload = self._setups.workload(case)  # an own step has none, and its precision may be no mode
        key = self._key(case)
        if workload.compared_on_host(case.size, memory_class(self._setups.device)):
            self._on_host.add(key)
        if key in self._on_host:
            return measure(case)
        try:
            return measure(case)
        except CASE_ERRORS as error:
            if not lacks_memory(error):
                raise
            self.forget()
            give_back(error)
        self._on_host.add(key)
        try:
            return measure(case)
        except CASE_ERRORS:
            self._on_host.remove(key)  # it was the case that found none
            self.forget()
            raise

    def _base_numerics(self, case: Case) -> Numerics | None:
        """What was measured of the base last, or is now; None where the mode is no variant."""
        base = self._setups.base(case)
        return None if base is None else self._measured.get(case.in_precision(base)) or self.numerics(case.in_precision(base))

    def _yardstick(self, case: Case) -> "_Kept":
        """The one that is kept, or a new one in its place."""
        key = self._key(case)
        if self._kept is None or self._kept.key != key:
            self.forget()
            free_memory()
            self._kept = self._new_yardstick(case, key)
        return self._kept

    def _key(self, case: Case) -> "_Key":
        clipped = precisions[case.precision]().max_norm  # as the yardstick is, too
        truth = {"precision": FP64.name, "trainer": OWN_TRAINER, "execution": Eager.name}
        return case.model_copy(update=truth), clipped

    def _new_yardstick(self, case: Case, key: "_Key") -> "_Kept":
        """In FP64; where that cannot run, or needs more memory than there is, in FP32. Raises Inapplicable for FP32 itself
        then."""
        batch, workload, (_, clipped) = self._setups.batch(case, slice(self.rows(case))), self._setups.workload(case), key

        def new(mode: type[Precision], failure: str | None = None) -> Yardstick:
            step = TrainStep(workload, mode(max_norm=clipped), self._setups.device, seed=case.seed, dropout=False)
            return Yardstick(step, batch, failure, HOST if key in self._on_host else None)

        try:
            return _Kept(key, new(FP64), workload, partial(new, FP64))
        except (PrecisionError, WorkloadError, torch.cuda.OutOfMemoryError) as error:
            if lacks_memory(error) and key not in self._on_host:
                raise
            found = failure_of(case, error, self._setups.device)
            if lacks_memory(error) and not found.large:
                raise CaseFailed(found.sentence) from None
            failure = found.sentence
        in_fp32 = partial(new, precisions["fp32"], failure)
        kept = _Kept(key, in_fp32(), workload, in_fp32)
        if case.precision == "fp32" and case.trainer == OWN_TRAINER:
            raise Inapplicable(f"{case.workload} has no other yardstick than fp32, for FP64 cannot run it ({failure})")
        return kept


_Key = tuple[Case, float | None]


@dataclass
class _Kept:
    """A yardstick. key: what it is of. new: makes another of `workload`."""

    key: _Key
    yardstick: Yardstick
    workload: Workload
    new: Callable[[], Yardstick]

    @cached_property
    def opened(self) -> Opened | None:
        return opened(self.workload, self.yardstick, self.new)


def _passes(numerics: Numerics) -> bool:
    return all(check.passed for check in checks(numerics))


def _of_other_choices(found: Numerics, setup: Setup, batch: Batch, yardstick: Yardstick, base: Numerics | None) -> Numerics:
    """What is found against the nearest run with rounded results, where a model that chooses by its numbers passes so; else
    `found`. What draws random numbers is held against FP64 alone: it differs without a choice."""
    failed = {check.metric for check in checks(found) if not check.passed}
    if not found.tensors or yardstick.draws or yardstick.failure is not None or not failed <= ERRORS:
        return found
    rate = yardstick.observed.learning_rate
    try:
        gradients = observe(
            setup.train_step(dropout=False), batch, 1, learning_rate=rate, drawn=False, kept_on=yardstick.kept_on
        ).gradients
        free_memory()
        nearest = yardstick.nearest(gradients, precisions[setup.case.precision].roundoff())
        other = None if nearest is None else measure_numerics(setup, batch, nearest, base)
    except (Inapplicable, *CASE_ERRORS) as error:
        if lacks_memory(error) and not yardstick.on_host:
            raise
        return found  # it has failed already
    return remarked(other, OTHER_CHOICES) if other is not None and _passes(other) else found


def _with_hidden(of: Opened, found: Numerics, setup: Setup, batch: Batch, base: Numerics | None) -> Numerics:
    """With the gradients that zeros hide, or why they are not judged. What else was found is not lost for it."""
    if of.yardstick is None:
        return of.unjudged(found, of.failure or "")
    try:
        with without_zeros(setup.modelled):
            return of.joined(found, measure_numerics(setup, batch, of.yardstick, base))
    except (Inapplicable, *CASE_ERRORS) as error:
        if lacks_memory(error) and not of.yardstick.on_host:
            raise
        return of.unjudged(found, one_sentence(error))
