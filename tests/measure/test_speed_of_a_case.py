"""One case in, one record of its speed out."""

import dataclasses
import statistics

import pytest
import torch

from mpcore import gate
from mpcore.execution import CaptureError
from mpcore.hardware import GpuWatch
from mpcore.measure import Bench, timing
from mpcore.measure import speed as module
from mpcore.measure.ceiling import matmul_flops
from mpcore.measure.speed import Stand, measure_speed
from mpcore.measure.timing import Contestant, block_seconds, take_turns
from mpcore.precision.native import FP32
from mpcore.records import Blocks, Case, Reference
from mpcore.registry import precisions
from mpcore.stats import ratio_interval
from mpcore.train import TrainStep

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")


@pytest.fixture(autouse=True)
def _briefly(monkeypatch, request):
    """On a CPU nothing is concluded from these times."""
    if not request.node.get_closest_marker("cuda"):
        monkeypatch.setitem(timing.TIME_LIMIT, "cpu", 0.1)
        monkeypatch.setitem(timing.BLOCK_SECONDS, "cpu", 0.01)


@pytest.fixture
def stand_of(dots):
    """stand_of(device, precision, execution): where the test workload is measured."""

    def stand_of(device, precision="bf16-amp", execution="eager"):
        def build(case):
            return TrainStep(dots, precisions[case.precision](), device, execution=case.execution)

        split = dots.split("train", device)
        case = Case(workload="dots", precision=precision, execution=execution, size="tiny")
        batches = [split.rows(slice(32)), split.rows(slice(32, 64))]
        return Stand(case, build, batches, GpuWatch(device), target=0.5)

    return stand_of


def test_an_eager_case_takes_turns_with_its_references(stand_of, cpu):
    speed = measure_speed(stand_of(cpu), {"fp32": None}, None)
    reference = speed.references["fp32"]
    assert reference.rounds == speed.blocks
    assert len(reference.blocks.seconds) == len(speed.blocks.seconds)
    assert speed.loss_after < speed.loss_before
    assert speed.flops_per_step == 32 * 2 * (16 * 32 * 2 + 32 * 2 * 3)  # no gradient of the input
    assert speed.half_flops_share == 1.0
    assert speed.profile.seconds > 0
    assert (speed.eager, speed.gpu, speed.pool_bytes, speed.peak_allocated_bytes, speed.ceiling_flops) == (None,) * 5


def test_a_step_that_learns_only_while_python_launches_it_is_seen_not_to_learn(stand_of, cpu):
    """As a graph would be that replays nothing: what counts is learned by the case's own execution."""
    stand = stand_of(cpu)

    def build(case, build=stand.build):
        step = build(case)
        step._execute.function = lambda batch: step.workload.loss(step.model, batch).detach()
        return step

    speed = measure_speed(dataclasses.replace(stand, build=build), {}, None)
    assert gate.speed_verdicts(speed)[0].status == "worse"
    assert gate.speed_verdicts(measure_speed(stand, {}, None))[0].status == "same"


def test_it_learns_until_the_loss_has_fallen_and_from_where_it_stood_before(stand_of, cpu, monkeypatch):
    """At a constant rate a loss may rise at first, and an end that is below that is not learnt."""
    stand, rates = stand_of(cpu), []
    step = stand.build(stand.case)
    set_learning_rate, own = step.set_learning_rate, step.workload.recipe.learning_rate
    monkeypatch.setattr(step, "set_learning_rate", lambda rate: (rates.append(rate / own), set_learning_rate(rate)))
    losses = module._losses(step, stand.batches)
    assert rates[:7] == [0.0] * 5 + [pytest.approx(0.1), pytest.approx(0.2)]
    assert 20 <= len(losses) < 105
    assert statistics.fmean(losses[-5:]) < 0.8 * statistics.fmean(losses[:5])


def test_a_mode_is_emulated_where_its_fastest_step_is_slow(monkeypatch, cpu):
    """Now and then a step takes a hundred times as long, in either mode."""
    seconds = iter([1.0, 5.0, 100.0, 5.0, 1.0, 5.0, 1.0, 2.0, 1.0, 200.0, 1.0, 200.0])
    monkeypatch.setattr("mpcore.measure.emulation.block_seconds", lambda *_: next(seconds))
    bench = Bench(cpu)
    case = Case(workload="ncf-movielens", precision="bf16-amp", execution="eager", size="tiny")
    assert "a step takes 5 times that of fp32" in bench.emulated(case)
    assert bench.emulated(case.in_precision("bf16-true")) is None
    assert not list(seconds)


def test_rounds_that_were_dropped_beside_a_reference_are_counted(stand_of, cpu, monkeypatch):
    monkeypatch.setattr(module, "CLOSE", 1e6)
    alone = Reference(blocks=Blocks(steps=1, seconds=(10.0, 10.0)), rounds=None)
    stand = stand_of(cpu)
    monkeypatch.setattr(stand.watch, "look", lambda: True)
    reference = measure_speed(stand, {"fp32": alone}, None).references["fp32"]
    assert reference.dropped_blocks == len(reference.blocks.seconds)


def test_a_reference_that_was_measured_alone_is_taken_as_it_is_where_the_ratio_is_far_from_one(stand_of, cpu):
    alone = Reference(blocks=Blocks(steps=1, seconds=(10.0, 10.0)), rounds=None, dropped_blocks=3)
    assert measure_speed(stand_of(cpu), {"fp32": alone}, None).references["fp32"] == alone


def test_where_the_ratio_is_close_to_one_it_takes_turns_all_the_same(stand_of, cpu, monkeypatch):
    monkeypatch.setattr(module, "CLOSE", 1e6)
    alone = Reference(blocks=Blocks(steps=1, seconds=(10.0, 10.0)), rounds=None)
    reference = measure_speed(stand_of(cpu), {"fp32": alone}, None).references["fp32"]
    assert reference.rounds is not None
    assert reference.blocks.seconds != (10.0, 10.0)


def test_steps_that_do_not_fit_into_memory_together_are_measured_one_after_the_other(stand_of, cpu, monkeypatch):
    """The record says so: the reference has no rounds of the case."""
    turns = module.take_turns

    def narrow(contestants, *rest):
        if len(contestants) > 1:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return turns(contestants, *rest)

    monkeypatch.setattr(module, "take_turns", narrow)
    monkeypatch.setattr(module, "CLOSE", 1e6)
    alone = Reference(blocks=Blocks(steps=1, seconds=(10.0, 10.0)), rounds=None)
    for known in (None, alone):
        speed = measure_speed(stand_of(cpu), {"fp32": known}, None)
        assert speed.references["fp32"].rounds is None
        assert (speed.references["fp32"] == alone) is (known is not None)


def test_a_reference_that_does_not_fit_at_all_is_left_out(stand_of, cpu, monkeypatch):
    stand = stand_of(cpu)

    def build(case, build=stand.build):
        if case.precision == "fp32":
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return build(case)

    speed = measure_speed(dataclasses.replace(stand, build=build), {"fp32": None}, None)
    assert speed.references == {}
    assert len(speed.blocks.seconds) >= 4


def test_a_captured_reference_that_fails_is_tried_once_and_its_own_case_still_fails(monkeypatch, cpu):
    bench, tried = Bench(cpu), []

    def build(case, **_):
        tried.append(case.precision)
        if case.precision == "fp32":
            raise CaptureError("the step cannot be captured")
        return TrainStep(bench.workload(case), precisions[case.precision](), cpu)

    monkeypatch.setattr(bench, "build", build)
    monkeypatch.setattr(bench, "_captured", lambda _: True)
    case = Case(workload="resnet18-mnist", precision="bf16-amp", size="tiny")
    assert bench.speed(case).references == {}
    assert bench.speed(case).missing == {"fp32": "the step cannot be captured"}
    assert bench.speed(case.in_precision("bf16-manual")).references == {}
    assert tried.count("fp32") == 1
    with pytest.raises(CaptureError):
        bench.speed(case.in_precision("fp32"))


def test_a_cpu_has_no_ceiling(cpu):
    assert matmul_flops(FP32(), cpu) is None


@pytest.mark.cuda
@needs_gpu
class TestOnAGpu:
    device = torch.device("cuda")

    @pytest.mark.parametrize("execution", ["eager", "graph"])
    def test_everything_is_measured(self, stand_of, execution):
        watch = GpuWatch(self.device)
        speed = measure_speed(stand_of(self.device, execution=execution), {}, matmul_flops(FP32(), self.device))
        assert 0 < speed.ceiling_share < 1
        assert speed.peak_allocated_bytes > 0
        assert speed.peak_reserved_bytes >= 0
        assert (speed.gpu is None) is (watch.reason is not None)
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
            mine = Contestant(plain.step, plain.batches)
            take_turns([mine, other], 0.0005, GpuWatch(self.device))
            ratios[name] = other.blocks.step_seconds / mine.blocks.step_seconds
        assert ratios["again"] == pytest.approx(1.0, abs=0.003)
        assert 1.005 < ratios["slower"] < 1.02

    def test_a_bare_loop_of_replays_is_hardly_faster_than_ours(self):
        ours = self._resnet()
        self._per_step(ours)
        (ours_captured,) = ours.step._execute._captured.values()

        class Bare:
            device, captured = self.device, True

            def set_learning_rate(self, _):
                pass

            def __call__(self, _, replay=ours_captured._graph.replay):
                replay()

        mine = Contestant(ours.step, ours.batches)
        bare = Contestant(Bare(), ours.batches)
        take_turns([mine, bare], 0.0003, GpuWatch(self.device))
        slower = ratio_interval(mine.seconds, [s * mine.steps / bare.steps for s in bare.seconds])
        print(f"ours takes {slower.centre:.5f} times a bare loop ({slower.low:.5f} to {slower.high:.5f})")
        assert slower.low < 1.002

    def _resnet(self):
        from mpcore.workloads.resnet18_mnist import ResNet18Mnist

        workload = ResNet18Mnist("full")
        split = workload.split("train", self.device)
        step = TrainStep(workload, precisions["fp16-amp"](), self.device, execution="graph")
        return Contestant(step, [split.rows(slice(64)), split.rows(slice(64, 128))])

    def _per_step(self, contestant):
        take_turns([contestant], 0.001, GpuWatch(self.device))
        return contestant.blocks.step_seconds
