"""One case in, one record of its speed out."""

import dataclasses
import statistics
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch

from mpcore.device.nvml import NvmlSampler
from mpcore.execution import Compile
from mpcore.execution.graph import CaptureError
from mpcore.gate.checks import checks
from mpcore.gate.limits import LEARNED_SHARE
from mpcore.measure import Bench, timing
from mpcore.measure import speed as module
from mpcore.measure.ceiling import copied_bytes, matmul_flops
from mpcore.measure.learning import learning_losses
from mpcore.measure.setup import TimingSetup
from mpcore.measure.speed import measure_speed
from mpcore.measure.timing import TimedStep, block_seconds, interleave
from mpcore.measure.work import measure_work
from mpcore.precision import precisions
from mpcore.precision.native import FP32
from mpcore.records import Blocks, Case, Family, Profile, RankTime, Reference, Requirements
from mpcore.training.step import TrainStep

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")


@pytest.fixture(autouse=True)
def _briefly(monkeypatch, request):
    """On a CPU nothing is concluded from these times."""
    if not request.node.get_closest_marker("cuda"):
        monkeypatch.setitem(timing.TIME_LIMIT, "cpu", 0.1)
        monkeypatch.setitem(timing.BLOCK_SECONDS, "cpu", 0.01)


@dataclass(frozen=True, kw_only=True)
class Built(TimingSetup):
    """Whose steps are made by a function of a test."""

    make: Callable[[Case], TrainStep]

    def build(self, *, dropout=True):
        return self.make(self.case)


@pytest.fixture
def setup_of(dots):
    """setup_of(device, precision, execution): what is needed to time the test workload."""

    def setup_of(device, precision="bf16-amp", execution="eager"):
        def make(case):
            return TrainStep(dots, precisions[case.precision](), device, execution=case.execution)

        split = dots.split("train", device)
        case = Case(workload="dots", precision=precision, execution=execution, size="tiny")
        batches = [split.rows(slice(32)), split.rows(slice(32, 64))]
        needed = {"batches": batches, "sampler": NvmlSampler(device), "target": 0.5, "make": make}
        return Built(case, dots, device, Requirements(), **needed)

    return setup_of


def test_an_eager_case_takes_turns_with_its_references(setup_of, cpu):
    speed, _ = measure_speed(setup_of(cpu), {"fp32": None}, None)
    reference = speed.references["fp32"]
    assert reference.rounds == speed.blocks
    assert len(reference.blocks.seconds) == len(speed.blocks.seconds)
    assert speed.loss_after < speed.loss_before
    assert speed.flops_per_step == 32 * 2 * (16 * 32 * 2 + 32 * 2 * 3)  # no gradient of the input
    assert speed.low_precision_flops_share == 1.0
    assert speed.profile.seconds > 0
    assert (speed.eager, speed.gpu, speed.pool_bytes, speed.peak_allocated_bytes, speed.ceiling_flops) == (None,) * 5


@pytest.mark.skipif(Compile.unsupported(torch.device("cpu")) is not None, reason="needs a C++ compiler")
def test_to_compile_a_case_is_measured_and_its_counts_are_those_of_its_work(setup_of, cpu):
    setup = setup_of(cpu, execution="compile")
    speed, work = measure_speed(setup, {"fp32": None}, None)
    assert speed.compilation.seconds > 0
    assert (speed.compilation.graphs, speed.compilation.while_timed) == (1, ())
    assert work.compiled == measure_work(setup).compiled == speed.compilation.counts
    assert {check.metric: check.status for check in checks(speed)}["compilation"] == "passed"


def test_what_a_step_compiles_by_itself_is_recorded_though_nobody_asked(setup_of, cpu, monkeypatch):
    setup = setup_of(cpu)
    speed, work = measure_speed(setup, {}, None)
    assert (speed.compilation, work.compiled) == (None, None)
    monkeypatch.setattr(setup.workload, "loss", torch.compile(setup.workload.loss, backend="eager"))
    speed, work = measure_speed(setup, {}, None)
    assert (speed.compilation.graphs, speed.compilation.graph_breaks) == (1, ())
    assert work.compiled == measure_work(setup).compiled == speed.compilation.counts


def test_what_is_compiled_while_it_is_timed_is_seen(setup_of, cpu, monkeypatch):
    setup = setup_of(cpu)
    late, block = torch.compile(lambda x: x + 1, backend="eager"), TimedStep.block

    def compiling(timed, number, sampler):
        late(torch.ones(number + 2))
        return block(timed, number, sampler)

    monkeypatch.setattr(TimedStep, "block", compiling)
    timed = setup.timed(setup.build())
    setup.time_alone(timed)
    assert "size mismatch at index 0" in timed.compiled[0]


def test_a_step_that_learns_only_while_python_launches_it_is_seen_not_to_learn(setup_of, cpu):
    """As a graph would be that replays nothing: what counts is learned by the case's own execution."""
    setup = setup_of(cpu)

    def make(case):
        step = setup.make(case)
        step._execute.function = lambda batch: step.workload.loss(step.model, batch).detach()
        return step

    speed, _ = measure_speed(dataclasses.replace(setup, make=make), {}, None)
    assert checks(speed)[0].status == "failed"
    assert checks(measure_speed(setup, {}, None)[0])[0].status == "passed"


def test_it_learns_until_the_loss_has_fallen_and_from_where_it_stood_before(setup_of, cpu, monkeypatch):
    """At a constant rate a loss may rise at first, and an end that is below that is not learnt."""
    setup, rates = setup_of(cpu), []
    step = setup.build()
    set_rate = step.set_rate
    monkeypatch.setattr(step, "set_rate", lambda share: (rates.append(share), set_rate(share)))
    losses = learning_losses(step, setup.batches, LEARNED_SHARE)
    assert rates[:7] == [0.0] * 5 + [pytest.approx(0.1), pytest.approx(0.2)]
    assert 20 <= len(losses) < 105
    assert statistics.fmean(losses[-5:]) < 0.8 * statistics.fmean(losses[:5])


def test_a_mode_is_emulated_where_its_fastest_step_is_slow(monkeypatch, cpu):
    """Now and then a step takes a hundred times as long, in either mode."""
    seconds = iter([1.0, 5.0, 100.0, 5.0, 1.0, 5.0, 1.0, 2.0, 1.0, 200.0, 1.0, 200.0])
    monkeypatch.setattr("mpcore.measure.emulation.block_seconds", lambda *_: next(seconds))
    bench = Bench(cpu)
    case = Case(workload="ncf-movielens", precision="bf16-amp", execution="eager", size="tiny")
    assert "a step takes 5 times as long as in fp32" in bench.emulated(case)
    assert bench.emulated(case.in_precision("bf16-true")) is None
    assert not list(seconds)


def test_rounds_that_were_dropped_beside_a_reference_are_counted(setup_of, cpu, monkeypatch):
    monkeypatch.setattr(module, "CLOSE", 1e6)
    alone = Reference(blocks=Blocks(steps=1, seconds=(10.0, 10.0)), rounds=None)
    setup = setup_of(cpu)
    monkeypatch.setattr(setup.sampler, "sample", lambda: True)
    reference = measure_speed(setup, {"fp32": alone}, None)[0].references["fp32"]
    assert reference.dropped_blocks == len(reference.blocks.seconds)


def test_a_reference_that_was_measured_alone_is_taken_as_it_is_where_the_ratio_is_far_from_one(setup_of, cpu):
    alone = Reference(blocks=Blocks(steps=1, seconds=(10.0, 10.0)), rounds=None, dropped_blocks=3)
    assert measure_speed(setup_of(cpu), {"fp32": alone}, None)[0].references["fp32"] == alone


def test_where_the_ratio_is_close_to_one_it_takes_turns_all_the_same(setup_of, cpu, monkeypatch):
    monkeypatch.setattr(module, "CLOSE", 1e6)
    alone = Reference(blocks=Blocks(steps=1, seconds=(10.0, 10.0)), rounds=None)
    reference = measure_speed(setup_of(cpu), {"fp32": alone}, None)[0].references["fp32"]
    assert reference.rounds is not None
    assert reference.blocks.seconds != (10.0, 10.0)


def test_steps_that_do_not_fit_into_memory_together_are_measured_one_after_the_other(
    setup_of, cpu, monkeypatch, without_memory
):
    """The record says so: the reference has no rounds of the case."""
    turns = module.interleave

    def narrow(timed_steps, *rest):
        if len(timed_steps) > 1:
            raise without_memory
        return turns(timed_steps, *rest)

    monkeypatch.setattr("mpcore.measure.setup.interleave", narrow)
    monkeypatch.setattr(module, "CLOSE", 1e6)
    alone = Reference(blocks=Blocks(steps=1, seconds=(10.0, 10.0)), rounds=None)
    for known in (None, alone):
        speed, _ = measure_speed(setup_of(cpu), {"fp32": known}, None)
        assert speed.references["fp32"].rounds is None
        assert (speed.references["fp32"] == alone) is (known is not None)


def test_a_reference_that_does_not_fit_at_all_is_left_out(setup_of, cpu, monkeypatch, without_memory):
    setup = setup_of(cpu)

    def make(case):
        if case.precision == "fp32":
            raise without_memory
        return setup.make(case)

    speed, _ = measure_speed(dataclasses.replace(setup, make=make), {"fp32": None}, None)
    assert speed.references == {}
    assert len(speed.blocks.seconds) >= 4


def test_a_captured_reference_that_fails_is_tried_once_and_its_own_case_still_fails(monkeypatch, cpu):
    bench, tried = Bench(cpu), []

    def build(setup, **_):
        tried.append(setup.case.precision)
        if setup.case.precision == "fp32":
            raise CaptureError("the step cannot be captured")
        return TrainStep(setup.workload, precisions[setup.case.precision](), cpu)

    monkeypatch.setattr(TimingSetup, "build", build)
    monkeypatch.setattr(bench.setups, "captured", lambda _: True)
    case = Case(workload="resnet18-mnist", precision="bf16-amp", size="tiny")
    assert bench.speed(case).references == {}
    assert bench.speed(case).missing == {"fp32": "the step cannot be captured"}
    assert bench.speed(case.in_precision("bf16-manual")).references == {}
    assert tried.count("fp32") == 1
    with pytest.raises(CaptureError):
        bench.speed(case.in_precision("fp32"))


def test_a_cpu_has_no_ceiling(cpu):
    assert (matmul_flops(FP32(), cpu), copied_bytes(cpu)) == (None, None)


@pytest.mark.cuda
@needs_gpu
class TestOnAGpu:
    device = torch.device("cuda")

    def test_memory_copies_within_what_any_card_has(self):
        assert 1e11 < copied_bytes(self.device) < 2e13

    @pytest.mark.parametrize("execution", ["eager", "graph"])
    def test_everything_is_measured(self, setup_of, execution):
        sampler = NvmlSampler(self.device)
        speed, _ = measure_speed(setup_of(self.device, execution=execution), {}, matmul_flops(FP32(), self.device))
        assert 0 < speed.ceiling_share < 1
        assert speed.peak_allocated_bytes > 0
        assert speed.peak_reserved_bytes >= 0
        assert (speed.gpu is None) is (sampler.reason is not None)
        if execution == "graph":
            assert speed.pool_bytes > 0
            assert speed.launch_overhead > 1
            assert 0 < speed.busy_share < 1
        else:
            assert (speed.pool_bytes, speed.eager) == (None, None)

    def test_a_step_that_was_made_one_per_cent_longer_is_seen(self):
        """By a wait on the device, in the captured step; and a step against itself shows nothing."""
        plain, again, slower = (self._resnet() for _ in range(3))
        seconds = self._per_step(plain)
        cycles_per_second = 10**8 / block_seconds(lambda _: torch.cuda._sleep(10**7), {}, 10, self.device)
        cycles = int(0.01 * seconds * cycles_per_second)
        backward = slower.step.precision.backward

        def waiting(loss):
            torch.cuda._sleep(cycles)
            backward(loss)

        slower.step.precision.backward = waiting
        ratios = {}
        for name, other in (("again", again), ("slower", slower)):
            mine = TimedStep(plain.step, plain.batches)
            interleave([mine, other], 0.0005, NvmlSampler(self.device))
            ratios[name] = other.blocks.step_seconds / mine.blocks.step_seconds
        assert ratios["again"] == pytest.approx(1.0, abs=0.003)
        assert 1.005 < ratios["slower"] < 1.02

    def _resnet(self):
        from mpcore.workloads.resnet18_mnist import ResNet18Mnist

        workload = ResNet18Mnist("full")
        split = workload.split("train", self.device)
        step = TrainStep(workload, precisions["fp16-amp"](), self.device, execution="graph")
        return TimedStep(step, [split.rows(slice(64)), split.rows(slice(64, 128))])

    def _per_step(self, timed):
        interleave([timed], 0.001, NvmlSampler(self.device))
        return timed.blocks.step_seconds


def test_the_profile_shown_is_of_the_rank_that_waits_least(monkeypatch):
    profiles = [
        Profile(kernels=(), families=(Family(name="between ranks", bits=32, count=1, seconds=s),)) for s in (0.08, 0.002)
    ]
    gathered = [((0.08, -0.02), 0, profiles[0]), ((0.002, -0.02), 1, profiles[1])]
    monkeypatch.setattr(module.agreement, "gathered", lambda own: gathered if own == gathered[0] else [own])
    assert module._of_least_waiting(profiles[0], RankTime(compute=0.02, communication=0.08)) == profiles[1]
    assert module._of_least_waiting(profiles[1], RankTime(compute=0.02)) == profiles[1]
