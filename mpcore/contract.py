"""What every precision mode keeps to with every workload: `pytest --pyargs mpcore.contract`.

Each test takes a workload at its tiny size and a mode, on the GPU where there is one. `--mp-load`, `--mp-workload` and
`--mp-precision` choose, so that a user's own are put to it; `--mp-data` and `--mp-device` are where they run:
`pytest --pyargs mpcore.contract --mp-load my_models.py --mp-workload mine`.
"""

import itertools
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._python_dispatch import TorchDispatchMode

from mpcore.cause import place
from mpcore.data import Batch
from mpcore.execution import WARM_UP, Graph
from mpcore.flops import FlopCount
from mpcore.measure import Bench
from mpcore.measure.numerics import observe, relative_error
from mpcore.plugin.options import chosen, session_of
from mpcore.policy import UPDATE_LIMIT, numerics_limits
from mpcore.precision import Inapplicable, Precision
from mpcore.registry import precisions, workloads
from mpcore.train import TrainStep

ROWS = 32
STEPS = 50
LEARNING_RATE = 1e-4


class Subject:
    """A workload in a mode, and the means to build steps of them, from the data and on the device of a session."""

    def __init__(self, workload: str, precision: str, bench: Bench) -> None:
        self.device = bench.device
        self.mode: type[Precision] = precisions[precision]
        self.workload: Any = workloads[workload]("tiny", bench.source)
        if reason := self.mode.unsupported(self.device):
            pytest.skip(reason)

    def batch(self) -> Batch:
        return self.workload.split("train", self.device).rows(slice(ROWS))

    def batches(self, count: int) -> list[Batch]:
        split = self.workload.split("train", self.device)
        return [split.rows(slice(i * ROWS, (i + 1) * ROWS)) for i in range(min(count, len(split) // ROWS))]

    def step(
        self, mode: type[Precision] | None = None, *, accumulate: int = 1, execution: str = "eager", **options: Any
    ) -> TrainStep:
        if mode is not None:  # what it is compared with is clipped as the mode is by itself
            options = {"max_norm": self.mode().max_norm} | options
        precision = (mode or self.mode)(**options)
        try:
            return TrainStep(self.workload, precision, self.device, accumulate=accumulate, execution=execution, dropout=False)
        except Inapplicable as reason:
            pytest.skip(str(reason))

    def limit(self) -> float:
        """How far a gradient may be from its FP64 value, relative to its norm."""
        mode = self.mode
        terms = self.workload.conditioning, self.workload.flips
        limits = numerics_limits(mode.roundoff(), *terms, masters=True, scales=True, half_share=0)
        return limits.gradient


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "subject" in metafunc.fixturenames:
        pairs = list(itertools.product(*chosen(metafunc.config, on_request=True)))
        metafunc.parametrize("subject", pairs, indirect=True, ids=["-".join(pair) for pair in pairs])


@pytest.fixture(scope="module")
def known() -> dict[tuple[str, str], Subject]:
    return {}


@pytest.fixture
def subject(request: pytest.FixtureRequest, known: dict[tuple[str, str], Subject]) -> Subject:
    """Made once a module, for its data."""
    if request.param not in known:
        workload, precision = request.param
        known[request.param] = Subject(workload, precision, session_of(request.config).bench)
    return known[request.param]


def at_the_optimiser(step: TrainStep, look: Callable[[torch.optim.Optimizer], None]) -> None:
    step.precision.optimiser.register_step_pre_hook(lambda optimiser, *_: look(optimiser))


def test_storage_is_in_the_mode_s_dtype(subject: Subject) -> None:
    """Weights, gradients and state that the optimiser works on are FP32 in all modes that claim masters."""
    step = subject.step()
    stored = torch.float32 if subject.mode.masters else subject.mode.dtype
    seen: set[torch.dtype] = set()
    at_the_optimiser(step, lambda _: seen.update(g.dtype for g in step.precision.gradients().values()))
    step(subject.batch())
    assert seen == {stored}
    assert {w.dtype for w in step.precision.weights().values()} == {stored}
    state = [v for s in step.precision.optimiser.state.values() for k, v in s.items() if k != "step"]
    assert {v.dtype for v in state} == (set() if step.workload.recipe.optimiser == "SGD" else {stored})


def test_arithmetic_is_in_the_mode_s_bits(subject: Subject) -> None:
    with FlopCount() as flops:
        subject.step()(subject.batch())
    assert flops.total > 0
    if subject.mode.half_share:
        assert flops.half_share >= subject.mode.half_share
        assert flops.by_dtype[subject.mode.dtype] > 0
    else:
        assert set(flops.by_dtype) == {subject.mode.dtype}


def test_gradient_and_update_agree_with_fp32(subject: Subject) -> None:
    batch = subject.batch()
    theirs = observe(subject.step(precisions["fp32"]), batch, updates=1)
    ours = observe(subject.step(), batch, updates=1, learning_rate=theirs.learning_rate)
    assert ours.made == theirs.made == 1
    assert abs(ours.loss - theirs.loss) <= 32 * subject.mode.roundoff() * abs(theirs.loss)
    assert relative_error(ours.gradients, theirs.gradients) <= 2 * subject.limit()
    assert set(ours.updates) == set(theirs.updates)


def test_tf32_is_on_only_where_the_mode_says_so_and_put_back(subject: Subject) -> None:
    step = subject.step()
    seen: list[tuple[bool, bool]] = []

    def look(*_: Any) -> None:
        cudnn: Any = torch.backends.cudnn
        seen.append((torch.backends.cuda.matmul.fp32_precision == "tf32", cudnn.conv.fp32_precision == "tf32"))

    step.model.register_forward_pre_hook(look)
    with process_settings("medium", True):
        step(subject.batch())
        assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32) == ("medium", True)
    with process_settings("highest", False):
        step(subject.batch())
        assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32) == ("highest", False)
    assert seen == [(subject.mode.tf32, subject.mode.tf32)] * 2


def test_settings_are_put_back_after_an_exception(subject: Subject) -> None:
    step = subject.step()

    def explode(*_: Any) -> None:
        raise RuntimeError("in the middle of a step")

    step.model.register_forward_pre_hook(explode)
    with process_settings("medium", True):
        with pytest.raises(RuntimeError, match="in the middle of a step"):
            step(subject.batch())
        assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32) == ("medium", True)


def test_an_infinite_gradient_skips_the_step_and_lowers_the_scale(subject: Subject) -> None:
    if not subject.mode.scales:
        pytest.skip(f"{subject.mode.name} does not scale its loss")
    step, batch = subject.step(), subject.batch()
    lower_scale(step)
    step(batch)
    before = step.precision.state()
    assert before.skipped_steps == 0
    weights = snapshot(step.precision.weights()) | snapshot(dict(step.model.named_parameters()), "model.")
    state = optimiser_state(step)
    with infinite_loss(step):
        step(batch)
    after = step.precision.state()
    assert before.loss_scale is not None
    assert after.loss_scale == before.loss_scale / 2
    assert after.skipped_steps == before.skipped_steps + 1
    now = snapshot(step.precision.weights()) | snapshot(dict(step.model.named_parameters()), "model.")
    assert all(torch.equal(now[name], weights[name]) for name in weights)
    assert all(torch.equal(a, b) for a, b in zip(optimiser_state(step), state, strict=True))
    step(batch)
    assert not all(torch.equal(w, weights[name]) for name, w in step.precision.weights().items())


def test_a_step_does_not_wait_for_the_device(subject: Subject) -> None:
    step, batch = subject.step(max_norm=1.0), subject.batch()
    step(batch)
    if subject.device.type == "cuda":
        torch.cuda.set_sync_debug_mode("error")
        try:
            step(batch)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        return
    if not subject.mode.fused:
        pytest.skip("the optimiser that is not fused keeps its step count on the CPU and reads it there")
    with HostReads() as reads:
        step(batch)
    assert reads.functions == []


def test_a_graph_waits_neither_for_the_device_nor_for_the_learning_rate(subject: Subject) -> None:
    step, batch = graph_step(subject, max_norm=1.0), subject.batch()
    for _ in range(WARM_UP + 1):
        step(batch)
    assert step.captured
    torch.cuda.set_sync_debug_mode("error")
    try:
        step.precision.set_learning_rate(0.0)
        step(batch)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    if subject.mode.control:
        return  # whose weights are not finite any more
    before = snapshot(step.precision.weights())
    step(batch)
    assert all(torch.equal(w, before[name]) for name, w in step.precision.weights().items())
    step.precision.set_learning_rate(1e-3)
    step(batch)
    assert not all(torch.equal(w, before[name]) for name, w in step.precision.weights().items())


def test_a_graph_trains_as_eager_steps_do(subject: Subject) -> None:
    """Fifty steps over different batches: the same scale to the letter, losses and weights as far as round-off goes."""
    graph, eager = graph_step(subject), subject.step()
    start, curves = snapshot(eager.precision.weights()), []
    for step in (graph, eager):
        step.precision.set_learning_rate(LEARNING_RATE)
        order = itertools.islice(itertools.cycle(subject.batches(8)), STEPS)
        curves.append(torch.stack([step(batch).clone() for batch in order]))
    assert graph.precision.state() == eager.precision.state()
    moved = [{n: w.detach().double() - start[n].double() for n, w in s.precision.weights().items()} for s in (graph, eager)]
    if subject.mode.control:
        return  # what is not finite is equal to nothing
    torch.testing.assert_close(curves[0], curves[1], rtol=32 * subject.mode.roundoff(), atol=32 * subject.mode.roundoff())
    assert relative_error(*moved) <= max(UPDATE_LIMIT, 2 * subject.limit())


def test_gradients_are_clipped_unscaled(subject: Subject) -> None:
    step = subject.step(max_norm=1e-3)
    norms: list[float] = []

    def look(optimiser: torch.optim.Optimizer) -> None:
        scale = getattr(optimiser, "grad_scale", None)
        assert scale is None
        norms.append(float(torch.stack([g.double().norm() for g in step.precision.gradients().values()]).norm()))

    at_the_optimiser(step, look)
    lower_scale(step)
    step(subject.batch())
    assert norms == [pytest.approx(1e-3, rel=0.05)]


def test_accumulated_parts_give_the_gradient_of_the_whole(subject: Subject) -> None:
    whole, parts = subject.step(), subject.step(accumulate=3)
    if any(isinstance(m, _BatchNorm) for m in whole.model.modules()):
        pytest.skip("batch normalisation takes its statistics over a part, so that parts are another computation")
    batch = subject.batch()
    first, second = observe(whole, batch, updates=1), observe(parts, batch, updates=1)
    assert second.loss == pytest.approx(first.loss, rel=32 * subject.mode.roundoff())
    assert relative_error(second.gradients, first.gradients) <= 2 * subject.limit()


def test_kept_modules_compute_in_fp32(subject: Subject) -> None:
    """Everything kept: nothing is left in 16 bits. One layer kept: only less."""
    model = subject.step().model
    everything = [name for name, _ in model.named_children()]
    layers = [name for name, m in model.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    if len(layers) < 2 or next(model.parameters(recurse=False), None) is not None:
        pytest.skip("takes two linear layers or convolutions, and a model whose weights all are its modules'")
    with FlopCount() as flops:
        subject.step(keep_fp32=everything)(subject.batch())
    assert flops.half_share == 0
    layer = layers[0]
    with FlopCount() as some:
        subject.step(keep_fp32=[layer])(subject.batch())
    assert some.by_dtype[torch.float32] > 0
    assert (some.half_share > 0) == (subject.mode.half_share > 0)


def graph_step(subject: Subject, **options: Any) -> TrainStep:
    if reason := Graph.unsupported(subject.device):
        pytest.skip(reason)
    return subject.step(execution=Graph.name, **options)


def lower_scale(step: TrainStep) -> None:
    """So that the first step is a good one."""
    if step.precision.loss_scale is not None:
        step.precision.loss_scale.fill_(1024.0)


class process_settings:
    """TF32 switches as a program around the suite may have set them."""

    def __init__(self, matmul: str, cudnn: bool) -> None:
        self.wanted = matmul, cudnn

    def __enter__(self) -> None:
        self.found = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
        self._set(*self.wanted)

    def __exit__(self, *_: object) -> None:
        self._set(*self.found)

    @staticmethod
    def _set(matmul: str, cudnn: bool) -> None:
        torch.set_float32_matmul_precision(matmul)
        torch.backends.cudnn.allow_tf32 = cudnn


class infinite_loss:
    """Within it, the gradients of `step` are not finite."""

    def __init__(self, step: TrainStep) -> None:
        self.step = step

    def __enter__(self) -> None:
        loss = self.step.workload.loss
        vars(self.step.workload)["loss"] = lambda model, batch: loss(model, batch) * torch.inf

    def __exit__(self, *_: object) -> None:
        del vars(self.step.workload)["loss"]


class HostReads(TorchDispatchMode):
    """The operations that hand a value of a tensor to Python, which on a GPU waits for all that was launched."""

    READS = ("aten::_local_scalar_dense", "aten::nonzero", "aten::is_nonzero", "aten::equal")

    def __init__(self) -> None:
        super().__init__()
        self.functions: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func._schema.name in self.READS:
            self.functions.append(f"{func}{place(traceback.extract_stack())}")
        return func(*args, **(kwargs or {}))


def snapshot(tensors: dict[str, Tensor], prefix: str = "") -> dict[str, Tensor]:
    return {prefix + name: t.detach().clone() for name, t in tensors.items()}


def optimiser_state(step: TrainStep) -> list[Tensor]:
    values: Iterator[Any] = (v for state in step.precision.optimiser.state.values() for v in state.values())
    return [v.detach().clone() for v in values if isinstance(v, Tensor)]
