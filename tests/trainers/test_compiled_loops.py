"""Loops of other trainers whose model is compiled, and all of them on a GPU."""

import pytest
import torch

from mpcore.device.compilations import Compilations
from mpcore.gate.checks import checks
from mpcore.measure import Bench
from mpcore.precision import precisions
from mpcore.records import Case
from mpcore.trainers import trainers

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
OTHERS = [name for name in trainers.names() if name != "mpcore"]
LAUNCHED = [(name, execution) for name in OTHERS for execution in trainers[name].executions]
COMPILED = [(name, execution) for name, execution in LAUNCHED if execution == "inductor"]

on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")


def step_of(name, workload, precision, device, **options):
    if reason := trainers[name].unsupported(precision, options.get("execution", "eager"), device):
        pytest.skip(reason)
    return trainers[name]().step(workload, precisions[precision](), device, dropout=False, **options)


def losses_of(step, batch, count=10):
    return [step(batch).item() for _ in range(count)]


def test_those_that_have_a_loop_of_their_own_can_be_compiled_as_people_compile_them():
    for name in ("plain", "fabric", "accelerate"):
        assert trainers[name].executions == ("eager", "inductor", "reduce-overhead")
    assert trainers["huggingface"].executions == ("eager",)


@pytest.mark.parametrize(("name", "execution"), COMPILED)
def test_its_model_is_compiled_whole_and_learns_what_an_eager_one_does(name, execution, dots):
    batch = dots.split("train", CPU).rows(slice(32))
    eager = losses_of(step_of(name, dots, "bf16-amp", CPU), batch)
    step = step_of(name, dots, "bf16-amp", CPU, execution=execution)  # which may make inductor begin, once a process
    with Compilations() as compilations:
        compiled = losses_of(step, batch)
    assert compilations.seen.graphs == 1
    assert compilations.seen.graph_breaks == ()
    assert compiled == pytest.approx(eager, rel=0.02)
    assert compiled[-1] < compiled[0]


@pytest.mark.parametrize("name", ["plain", "fabric", "accelerate", "huggingface"])
def test_as_its_author_calls_it_a_step_is_the_same(name, dots):
    batch = dots.split("train", CPU).rows(slice(32))
    first, second = (step_of(name, dots, "fp32", CPU) for _ in range(2))
    assert losses_of(first, batch) == [second.as_written(batch).item() for _ in range(10)]


@pytest.mark.cuda
@on_gpu
@pytest.mark.parametrize("precision", ["bf16-amp", "fp16-amp"])
@pytest.mark.parametrize(("name", "execution"), LAUNCHED)
class TestOnGpu:
    def test_it_learns_what_ours_does_by_the_fused_optimiser(self, name, execution, precision, dots):
        batch = dots.split("train", CUDA).rows(slice(32))
        ours = losses_of(step_of("mpcore", dots, precision, CUDA), batch)
        step = step_of(name, dots, precision, CUDA, execution=execution)
        theirs = losses_of(step, batch)
        assert theirs == pytest.approx(ours, rel=0.05)
        assert theirs[-1] < theirs[0]
        assert all(weight.is_cuda for weight in step.weights().values())
        assert all(group["fused"] for optimiser in step.optimisers for group in optimiser.param_groups)
        assert step.scale_state().skipped_steps == 0
        assert (step.scale_state().loss_scale is not None) is (precision == "fp16-amp")

    def test_at_rate_zero_its_weights_stand_still_and_an_overflow_is_skipped(self, name, execution, precision, dots):
        batch = dots.split("train", CUDA).rows(slice(32))
        step = step_of(name, dots, precision, CUDA, execution=execution)
        step.set_rate(0.0)
        losses_of(step, batch, 4)
        before = {name: weight.detach().clone() for name, weight in step.weights().items()}
        step.as_written(batch)
        assert all(torch.equal(weight, before[name]) for name, weight in step.weights().items())
        if precision == "fp16-amp":
            step(batch | {"x": batch["x"] * torch.inf})
            assert step.scale_state().skipped_steps == 1
            assert all(torch.equal(weight, before[name]) for name, weight in step.weights().items())


@pytest.mark.cuda
@on_gpu
@pytest.mark.parametrize("precision", ["bf16-amp", "fp16-amp"])
def test_all_of_them_race_on_a_gpu(precision):
    """Every trainer in every execution that it has, ours as graphs of both kinds among them."""
    case = Case(workload="resnet18-mnist", precision=precision, execution="graph", size="tiny")
    executions = ["eager", "graph", "compile", "inductor", "reduce-overhead"]
    found = Bench(CUDA).race(case, [precision], OTHERS, executions, at_least=0.01, same_mode_at_least=0.01)
    assert found.failed == {}
    assert [e.case.execution for e in found.ours] == ["eager", "graph", "inductor", "compile", "reduce-overhead"]
    assert {(e.case.trainer, e.case.execution) for e in found.theirs} == {*LAUNCHED}
    assert all("does not say that its step can be run by" in reason for reason in found.missing.values())
    assert all(check.passed for check in checks(found))
    assert found.same_mode is not None
    assert not found.same_mode.apart
    print(*(f"{e.called}: {1e3 * e.blocks.step_seconds:.3f} ms" for e in (*found.ours, *found.theirs)), sep="\n")
