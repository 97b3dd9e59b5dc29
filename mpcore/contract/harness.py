"""A workload in a mode, and what makes its steps tell how they compute."""

import functools
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode  # private API

from mpcore.data import Batch, Split
from mpcore.device.flops import FlopCount
from mpcore.errors import source_line
from mpcore.execution import CaptureError, Compile, Graph
from mpcore.execution.graph import WARM_UP
from mpcore.measure import Bench
from mpcore.measure.finite import first_not_finite
from mpcore.measure.observation import SKIPS_ALLOWED
from mpcore.measure.requirements import explained_by_rounding, numerics_limits, requirements_of
from mpcore.measure.setup import Setup
from mpcore.measure.yardstick import Yardstick, random_loss
from mpcore.precision import Inapplicable, Precision, PrecisionError, precisions
from mpcore.precision.pure import FP64
from mpcore.records import Case
from mpcore.training.step import TrainStep
from mpcore.workloads import Workload, workloads
from mpcore.workloads.checked import WorkloadError

T = TypeVar("T")
LEAST_ROWS, MOST_ROWS = 8, 32
"""Of a batch, which has as many as its recipe asks for within these: fewer make no parts, and more take long."""


class Subject:
    """A workload in a mode, with the data and on the device of `bench`, and the means to build steps of them. known: what is
    known of the workload already, from its other modes."""

    def __init__(self, workload: str, precision: str, bench: Bench, known: dict[str, Any] | None = None) -> None:
        self._known = {} if known is None else known
        self.device = bench.device
        entry = workloads[workload]
        if not issubclass(entry, Workload):
            pytest.skip(f"{workload} is a step of its own: the contract holds what mpcore makes of a model")
        self.mode: type[Precision] = precisions[precision]
        self.workload = entry("tiny", bench.source)
        if reason := self.mode.unsupported(self.device):
            pytest.skip(reason)

    def batch(self) -> Batch:
        return self.batches(1)[0]

    def batches(self, count: int) -> list[Batch]:
        """As many as there are, one at least, and `count` at most."""
        split = self.workload.split("train", self.device)
        rows = min(max(self.workload.recipe.batch_size, LEAST_ROWS), MOST_ROWS, len(split))
        return [split.rows(slice(i * rows, (i + 1) * rows)) for i in range(min(count, len(split) // rows))]

    def step(
        self,
        mode: type[Precision] | None = None,
        *,
        accumulate: int = 1,
        execution: str = "eager",
        dropout: bool = False,
        seed: int = 0,
        **options: Any,
    ) -> TrainStep:
        """Of the subject's own mode, or of another that it is compared with; both clip as the own one does by itself. The test
        is skipped where the mode has nothing to do in the model."""
        if mode is not None:
            options = {"max_norm": self.mode().max_norm} | options
        precision = (mode or self.mode)(**options)
        try:
            how: dict[str, Any] = {"accumulate": accumulate, "execution": execution, "dropout": dropout, "seed": seed}
            return TrainStep(self.workload, precision, self.device, **how)
        except Inapplicable as reason:
            pytest.skip(str(reason))

    def graph_step(self, **options: Any) -> TrainStep:
        """The test is skipped where there are no CUDA graphs, and where the model's own step in FP32 cannot be captured."""
        if reason := Graph.unsupported(self.device) or self._uncapturable:
            pytest.skip(reason)
        settle_scale(self.step(**options), self.batch())  # or it is skipped, where gradients are not finite
        return self.step(execution=Graph.name, **options)

    def compiled_step(self, **options: Any) -> TrainStep:
        """The same of a step whose model is compiled."""
        if Compile.captures(self.device) and (reason := self._uncapturable):
            pytest.skip(reason)
        settle_scale(self.step(**options), self.batch())
        return self.step(execution=Compile.name, **options)

    @functools.cached_property
    def _uncapturable(self) -> str | None:
        try:
            step, batch = self.step(precisions["fp32"], execution=Graph.name), self.batch()
            for _ in range(WARM_UP + 1):
                step(batch)
        except CaptureError as error:
            return f"in FP32, too, {error}; --mp-execution eager measures it"
        return None

    def not_finite(self, learning_rate: float) -> str:
        """What first is not finite in steps of the mode."""
        case = Case(workload=self.workload.name, precision=self.mode.name, size="tiny")
        setup = Setup(case, self.workload, self.device, requirements_of(case, self.workload, self.device))
        return first_not_finite(setup, self.batch(), learning_rate, None)

    def once(self, what: str, find: Callable[[], T]) -> T:
        """What does not depend on the mode is found out in the first of them."""
        if what not in self._known:
            self._known[what] = find()
        found: T = self._known[what]
        return found

    @property
    def draws(self) -> bool:
        """Whether the loss is random without dropout, as two in FP64 tell, or in FP32 where FP64 cannot run it."""
        return self.once("draws", self._draws)

    def _draws(self) -> bool:
        with suppress(PrecisionError, WorkloadError):
            return random_loss(self.step(FP64), self.batch()) is not None
        return random_loss(self.step(precisions["fp32"]), self.batch()) is not None

    @property
    def flops_in_fp64(self) -> int:
        """Those of a forward and a backward pass of the model as its author makes it."""
        return self.once("FLOPs in FP64", self._flops_in_fp64)

    def _flops_in_fp64(self) -> int:
        model = self.workload.build_model().to(self.device)
        with FlopCount() as flops:
            self.workload.loss(model, self.batch()).backward()
        return flops.by_dtype[torch.float64]

    @functools.cached_property
    def rounding_error(self) -> float:
        """How far rounding alone may move a gradient, relative to its norm; 0 where FP64 cannot tell, or the author says."""
        with suppress(PrecisionError, WorkloadError):
            batch, roundoff = self.batch(), self.mode.roundoff()
            whole = Yardstick(self.step(FP64), batch).rounding_errors(roundoff).whole
            return explained_by_rounding(whole, self.workload, roundoff, len(Split(batch)))
        return 0.0

    @property
    def gradient_error(self) -> float:
        """How far a gradient may be from its FP64 value, relative to its norm."""
        return self.gradient_error_of(self.mode.roundoff())

    def gradient_error_of(self, roundoff: float) -> float:
        terms = roundoff, self.workload.conditioning, self.workload.kink_factor
        return numerics_limits(*terms, masters=True, scales=True).gradient_error


def check_workload(name: str, bench: Bench) -> None:
    """One step of it in FP32, if it is a model. Raises what a step raises, and DataError."""
    if issubclass(workloads[name], Workload):
        subject = Subject(name, "fp32", bench)
        with suppress(Inapplicable):  # which each test says
            TrainStep(subject.workload, subject.mode(), subject.device)(subject.batch())


def at_the_optimiser(step: TrainStep, look: Callable[[torch.optim.Optimizer], None]) -> None:
    """`look` is called before each update, when gradients are as the optimiser gets them."""
    step.precision.optimiser.register_step_pre_hook(lambda optimiser, *_: look(optimiser))


def settle_scale(step: TrainStep, batch: Batch) -> None:
    """Steps at learning rate 0 until one has finite gradients. The test is skipped where none has: no scale cures that, and
    test_gradient_and_update_agree_with_fp32 says what it is."""
    finite: list[bool] = []

    def look(*_: object) -> None:
        finite.append(all(bool(g.to_dense().isfinite().all()) for g in step.precision.gradients().values()))

    if step.precision.negative_control:
        return  # whose first step is its last good one
    hook = step.precision.optimiser.register_step_pre_hook(look)
    step.set_rate(0.0)
    for _ in range(SKIPS_ALLOWED):
        before = step.precision.state().skipped_steps
        step.launch(batch)
        if step.precision.state().skipped_steps == before:
            break
    hook.remove()
    step.set_rate(1.0)
    if not finite or not finite[-1]:
        pytest.skip(
            "gradients are not finite in this mode: test_gradient_and_update_agree_with_fp32 says where they first are not"
        )


@contextmanager
def infinite_loss(step: TrainStep) -> Iterator[None]:
    """Within it, the gradients of `step` are not finite."""
    loss, own = step.workload.loss, vars(step.workload)
    own["loss"] = lambda model, batch: loss(model, batch) * torch.inf
    try:
        yield
    finally:
        del own["loss"]


def tf32_settings() -> tuple[str, bool]:
    """Of matrix products and of cuDNN, as torch's legacy interface tells them."""
    return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32


@contextmanager
def process_settings(matmul: str, cudnn: bool) -> Iterator[None]:
    """Within it, TF32 is set as a program around the suite may have set it."""
    found = tf32_settings()
    _set_tf32(matmul, cudnn)
    try:
        yield
    finally:
        _set_tf32(*found)


def _set_tf32(matmul: str, cudnn: bool) -> None:
    torch.set_float32_matmul_precision(matmul)
    torch.backends.cudnn.allow_tf32 = cudnn


@contextmanager
def waiting_is_an_error() -> Iterator[None]:
    """Within it, on a GPU, an operation that waits for the device raises."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


class HostReads(TorchDispatchMode):
    """The operations that hand a value of a tensor to Python, which on a GPU waits for all that was launched."""

    READS = ("aten::_local_scalar_dense", "aten::nonzero", "aten::is_nonzero", "aten::equal")

    def __init__(self) -> None:
        super().__init__()
        self.functions: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func._schema.name in self.READS:  # private API
            self.functions.append(f"{func}{source_line(traceback.extract_stack())}")
        return func(*args, **(kwargs or {}))


def weights_of(step: TrainStep) -> dict[str, Tensor]:
    """Copies of what the optimiser updates, and of the model's parameters."""
    parameters = {f"model.{name}": p for name, p in step.model.named_parameters()}
    return snapshot(step.precision.weights() | parameters)


def snapshot(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: t.detach().clone() for name, t in tensors.items()}


def equal(these: dict[str, Tensor], those: dict[str, Tensor]) -> bool:
    return all(torch.equal(these[name], those[name]) for name in those)


def optimiser_state(step: TrainStep) -> list[Tensor]:
    values: Iterator[Any] = (v for state in step.precision.optimiser.state.values() for v in state.values())
    return [v.detach().clone() for v in values if isinstance(v, Tensor)]
