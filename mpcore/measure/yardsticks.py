"""The errors of one session's cases, against yardsticks that are kept for as long as the next case needs the same."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import torch

from mpcore.data import Batch
from mpcore.device.machine import fast_in_fp64, memory_class
from mpcore.execution import Eager
from mpcore.measure.errors import CASE_ERRORS, CaseFailed, failure_of, lacks_memory, one_sentence
from mpcore.measure.hidden import Opened, opened, without_zeros
from mpcore.measure.memory import free_memory
from mpcore.measure.numerics import measure_numerics
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

HOST = torch.device("cpu")
SLOW_FP64 = 4
"""How many times fewer samples are computed in FP64 on a GPU that is slow in it."""


class Yardsticks:
    """Of the cases that `setups` are made of: one yardstick at a time, and what was measured last of each case."""

    def __init__(self, setups: Setups) -> None:
        self._setups = setups
        self._measured: dict[Case, Numerics] = {}
        self._kept: _Kept | None = None
        self._on_host: set[str] = set()
        """Workloads whose gradients and updates find no room on the GPU."""

    def numerics(self, case: Case) -> Numerics:
        """Measured anew. A variant is held against its base, too. Where memory ends, what is compared is kept on the host.
        Raises Inapplicable for an own step, whose precision may be no mode of mpcore."""
        if case.workload not in self._on_host:
            try:
                return self._numerics(case)
            except CASE_ERRORS as error:
                if not lacks_memory(error):
                    raise
                self.forget()
                one_sentence(error)
            self._on_host.add(case.workload)
        return self._numerics(case)

    def _numerics(self, case: Case) -> Numerics:
        rows = self.rows(case)
        base = self._base_numerics(case)
        kept = self._yardstick(case)
        free_memory()
        batch = self._setups.batch(case, slice(rows))
        setup = self._setups.of(case)
        found = measure_numerics(setup, batch, kept.yardstick, base)
        if found.tensors is not None and (opened := kept.opened) is not None:
            found = _with_hidden(opened, found, setup, batch, base)
        self._measured[case] = found
        return found

    def found_gradients(self, case: Case) -> GradientProof:
        """Of how many tensors a wrong gradient is found. Raises Inapplicable where FP64 cannot run, and no tensor is judged."""
        numerics, rows = self.numerics(case), self.rows(case)
        if not numerics.tensors:
            raise Inapplicable(f"no tensor of {case.workload} is judged in {case.precision}")
        batches = self._setups.batch(case, slice(rows)), self._setups.batch(case, slice(rows, 2 * rows))
        return found_gradients(self._setups.of(case), numerics, *batches, self._yardstick(case).yardstick)

    def forget(self) -> None:
        """Gives up the yardstick, which holds a model and its gradients."""
        self._kept = None

    def rows(self, case: Case) -> int:
        """Of the batch that is computed in FP64, too: fewer where that is slow, and in size `fit` where memory is short."""
        workload = self._setups.workload(case)
        fit = case.size == "fit"
        rows = workload.fitting_rows(memory_class(self._setups.device)) if fit else workload.numerics_rows[case.model_size]
        return rows if case.model_size == "tiny" or fast_in_fp64(self._setups.device) else max(1, rows // SLOW_FP64)

    def _base_numerics(self, case: Case) -> Numerics | None:
        """What was measured of the base last, or is now; None where the mode is no variant."""
        base = self._setups.base(case)
        return None if base is None else self._measured.get(case.in_precision(base)) or self.numerics(case.in_precision(base))

    def _yardstick(self, case: Case) -> "_Kept":
        """The one that is kept, or a new one in its place."""
        clipped = precisions[case.precision]().max_norm  # as the yardstick is, too
        truth = {"precision": FP64.name, "trainer": OWN_TRAINER, "execution": Eager.name}
        key = case.model_copy(update=truth).id, clipped
        if self._kept is None or self._kept.key != key:
            self.forget()
            free_memory()
            self._kept = self._new_yardstick(case, key)
        return self._kept

    def _new_yardstick(self, case: Case, key: "_Key") -> "_Kept":
        """In FP64; where that cannot run, or needs more memory than there is, in FP32. Raises Inapplicable for FP32 itself
        then."""
        batch, workload, (_, clipped) = self._setups.batch(case, slice(self.rows(case))), self._setups.workload(case), key

        def new(mode: type[Precision], failure: str | None = None) -> Yardstick:
            step = TrainStep(workload, mode(max_norm=clipped), self._setups.device, seed=case.seed, dropout=False)
            return Yardstick(step, batch, failure, HOST if case.workload in self._on_host else None)

        try:
            return _Kept(key, new(FP64), workload, partial(new, FP64))
        except (PrecisionError, WorkloadError, torch.cuda.OutOfMemoryError) as error:
            if lacks_memory(error) and case.workload not in self._on_host:
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


_Key = tuple[str, float | None]


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
