"""Our steps against those of other trainers: who is timed, and what of it is judged."""

import dataclasses
import itertools
import math
import weakref
from types import SimpleNamespace

import made
import pytest
import torch

from mpcore.device.nvml import NvmlSampler
from mpcore.execution import CaptureError
from mpcore.gate import checks
from mpcore.measure import Bench, race, timing
from mpcore.measure.entrants import Entrants, entrants
from mpcore.measure.race import measure_race, same_mode
from mpcore.measure.setup import TimingSetup
from mpcore.precision import Inapplicable
from mpcore.records import Case, Requirements
from mpcore.trainers import trainers

CUDA = torch.device("cuda")
OURS = Case(workload="dots", precision="fp32", size="tiny")
PLAIN, FABRIC = (OURS.model_copy(update={"trainer": name}) for name in ("plain", "fabric"))


@pytest.fixture(autouse=True)
def _briefly(monkeypatch):
    """On a CPU nothing is concluded from these times."""
    monkeypatch.setitem(timing.TIME_LIMIT, "cpu", 0.1)
    monkeypatch.setitem(timing.BLOCK_SECONDS, "cpu", 0.005)


@pytest.fixture
def any_gpu(monkeypatch):
    """One that runs every mode in every execution that the trainer has."""

    def cases(selection, device, workloads):
        for trainer, execution, precision in itertools.product(selection.trainers, selection.executions, selection.precisions):
            case = Case(workload=workloads[0], precision=precision, trainer=trainer, execution=execution, size=selection.size)
            yield case, trainers[trainer].unsupported(precision, execution, device)

    monkeypatch.setattr("mpcore.measure.entrants.cases", cases)


@pytest.fixture
def setup_of(dots, cpu):
    split = dots.split("train", cpu)
    batches = [split.rows(slice(32)), split.rows(slice(32, 64))]

    def setup_of(case):
        return TimingSetup(case, dots, cpu, Requirements(), batches=batches, sampler=NvmlSampler(cpu), target=0.5)

    return setup_of


@pytest.fixture
def built(monkeypatch):
    """Which cases were built, in their order; those in `fails` raise."""
    found, fails = [], {}
    build = TimingSetup.build

    def counted(setup):
        found.append(setup.case)
        if setup.case in fails:
            raise fails[setup.case]
        return build(setup)

    monkeypatch.setattr(TimingSetup, "build", counted)
    return SimpleNamespace(cases=found, fails=fails)


def named(cases):
    return [(case.trainer, case.precision, case.execution) for case in cases]


@pytest.mark.usefixtures("any_gpu")
def test_by_itself_ours_are_captured_and_plain_pytorch_is_compiled_too():
    case = OURS.in_precision("bf16-amp")
    found = entrants(case, ["bf16-amp", "bf16-manual", "fp16-manual"], ["plain", "fabric", "mpcore"], (), CUDA)
    graphs = [("mpcore", mode, "graph") for mode in ("bf16-amp", "bf16-manual", "fp16-manual")]
    assert named(found.ours) == [*graphs, *(("mpcore", mode, "compile") for mode in ("bf16-amp", "bf16-manual"))]
    eager = [(name, "bf16-amp", "eager") for name in ("plain", "fabric")]
    assert named(found.theirs) == [*eager, ("plain", "bf16-amp", "inductor"), ("plain", "bf16-amp", "reduce-overhead")]
    assert found.missing == {}


@pytest.mark.usefixtures("any_gpu")
def test_by_another_trainer_ours_are_eager_and_compiled():
    found = entrants(FABRIC, ["fp32"], ["plain", "fabric"], (), CUDA)
    assert named(found.ours) == [("fabric", "fp32", how) for how in ("eager", "inductor", "reduce-overhead")]
    assert {trainer for trainer, _, _ in named(found.theirs)} == {"plain"}


@pytest.mark.usefixtures("any_gpu")
def test_executions_that_are_named_make_the_whole_product_less_what_is_unsupported():
    executions = ["reduce-overhead", "inductor", "eager"]
    found = entrants(OURS, ["fp32"], ["plain", "accelerate", "huggingface"], executions, CUDA)
    assert named(found.ours) == [("mpcore", "fp32", how) for how in ("eager", "inductor", "reduce-overhead")]
    assert named(found.theirs) == [
        *((name, "fp32", "eager") for name in ("plain", "accelerate", "huggingface")),
        *((name, "fp32", how) for how in ("inductor", "reduce-overhead") for name in ("plain", "accelerate")),
    ]
    assert found.missing == {
        f"dots-fp32-{how}-tiny-by-huggingface": f"Trainer does not say that its step can be run by {how}"
        for how in ("inductor", "reduce-overhead")
    }


def test_how_the_gpu_did_while_they_took_turns_is_kept(setup_of, monkeypatch):
    told = made.gpu("power cap")
    monkeypatch.setattr(NvmlSampler, "summary", lambda sampler: told)
    found = measure_race(OURS, Entrants([OURS], [PLAIN], {}), setup_of)
    assert found.fastest.gpu == told


def test_the_fastest_of_ours_takes_turns_with_the_fastest_other(setup_of):
    among = Entrants([OURS, OURS.in_precision("bf16-amp")], [PLAIN, FABRIC], {"x": "there is no x"})
    found = measure_race(OURS, among, setup_of)
    for entrants_, side in ((found.ours, found.fastest.ours), (found.theirs, found.fastest.theirs)):
        fastest = min(entrants_, key=lambda entrant: entrant.blocks.step_seconds)
        assert side.case == fastest.case
        assert side.blocks != fastest.blocks
    assert len(found.fastest.ours.blocks.seconds) == len(found.fastest.theirs.blocks.seconds)
    assert not found.fastest.apart
    assert found.missing == {"x": "there is no x"}
    assert (found.failed, found.same_mode) == ({}, None)
    assert {entrant.trainer: entrant.trainer_version for entrant in found.theirs} == {
        trainers[name].called(): trainers[name].version() for name in ("plain", "fabric")
    }


def test_each_is_built_once_where_there_is_memory(setup_of, built):
    among = Entrants([OURS, OURS.in_precision("bf16-amp")], [PLAIN, FABRIC], {})
    measure_race(OURS, among, setup_of)
    assert built.cases == [*among.ours, *among.theirs]


def test_only_those_that_may_be_timed_once_more_are_kept(setup_of, monkeypatch):
    alive = weakref.WeakSet()
    build = TimingSetup.build

    def watched(setup):
        assert len(alive) <= 2
        step = build(setup)
        alive.add(step)
        return step

    monkeypatch.setattr(TimingSetup, "build", watched)
    ours = [OURS.in_precision(name) for name in ("fp32", "bf16-amp", "bf16-manual")]
    measure_race(OURS, Entrants(ours, [PLAIN, FABRIC], {}), setup_of)
    assert len(alive) == 0


def test_ours_by_compile_takes_turns_with_torchs_own_graphs_in_the_same_mode(setup_of, monkeypatch):
    """Where both are there, whichever is the fastest."""
    monkeypatch.setattr(race, "same_mode", lambda case: (case, PLAIN))
    found = measure_race(OURS, Entrants([OURS], [PLAIN], {}), setup_of)
    assert found.same_mode == found.fastest
    assert len(found.turns) == 1
    assert named(same_mode(OURS)) == [("mpcore", "fp32", "compile"), ("plain", "fp32", "reduce-overhead")]


def test_those_that_do_not_fit_beside_each_other_are_compared_as_they_were_timed_alone(
    setup_of, built, monkeypatch, without_memory
):
    def narrow(steps, *rest):
        if len(steps) > 1:
            raise without_memory
        return timing.interleave(steps, *rest)

    monkeypatch.setattr(race, "interleave", narrow)
    found = measure_race(OURS, Entrants([OURS], [PLAIN], {}), setup_of)
    assert found.fastest.apart
    assert (found.fastest.ours, found.fastest.theirs) == (found.ours[0], found.theirs[0])


def test_one_that_fits_by_itself_makes_the_others_give_way(setup_of, monkeypatch):
    """And they are built again for their turns."""
    build, alive, built_ = TimingSetup.build, weakref.WeakSet(), []

    def narrow(setup):
        if setup.case == FABRIC and alive:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        step = build(setup)
        built_.append(setup.case)
        if setup.case != FABRIC:
            alive.add(step)
        return step

    monkeypatch.setattr(TimingSetup, "build", narrow)
    found = measure_race(OURS, Entrants([OURS], [PLAIN, FABRIC], {}), setup_of)
    assert [entrant.case for entrant in found.theirs] == [PLAIN, FABRIC]
    assert built_[:3] == [OURS, PLAIN, FABRIC]
    assert built_[3:] == ([OURS] if found.fastest.theirs.case == FABRIC else [OURS, PLAIN])
    assert found.fastest.apart is (found.fastest.theirs.case == FABRIC)


def test_one_that_finds_no_memory_is_missing_and_one_that_fails_has_failed(setup_of, built, without_memory):
    built.fails[PLAIN] = without_memory
    built.fails[OURS.in_precision("bf16-amp")] = CaptureError("it waits for the host")
    found = measure_race(OURS, Entrants([OURS, OURS.in_precision("bf16-amp")], [PLAIN, FABRIC], {}), setup_of)
    assert found.missing == {PLAIN.id: "the GPU has no memory for it"}
    assert found.failed == {"dots-bf16-amp-eager-tiny": "it waits for the host"}
    assert found.fastest.theirs.case == FABRIC


@pytest.fixture
def plain_stops(monkeypatch):
    """plain_stops(steps): plain PyTorch's step raises once it was called so often."""

    def stops(steps):
        build = trainers["plain"].build

        def built(*arguments):
            loop, calls = build(*arguments), itertools.count()

            def step(batch):
                if next(calls) >= steps():
                    raise KeyError("queue")
                return loop.step(batch)

            return dataclasses.replace(loop, step=step)

        monkeypatch.setattr(trainers["plain"], "build", built)

    return stops


STOPPED = "dots by plain PyTorch: its step failed: KeyError: 'queue' (test_race.py, line "


def test_one_whose_step_raises_has_failed_and_the_others_are_timed(setup_of, plain_stops):
    plain_stops(lambda: 2)
    found = measure_race(OURS, Entrants([OURS], [PLAIN, FABRIC], {}), setup_of)
    assert [entrant.case for entrant in found.timed] == [OURS, FABRIC] * 2
    assert found.failed.keys() == {PLAIN.id}
    assert found.failed[PLAIN.id].startswith(STOPPED)


def test_a_pair_that_fails_in_turns_leaves_the_times_of_all(setup_of, plain_stops, monkeypatch):
    plain_stops(lambda: math.inf if alone else 0)
    alone = True

    def interleave(steps, *rest):
        nonlocal alone
        alone = len(steps) == 1
        return timing.interleave(steps, *rest)

    monkeypatch.setattr(race, "interleave", interleave)
    found = measure_race(OURS, Entrants([OURS], [PLAIN], {}), setup_of)
    assert [entrant.case for entrant in found.timed] == [OURS, PLAIN]
    assert (found.fastest, found.failed.keys()) == (None, {f"{OURS.id} in turns with {PLAIN.id}"})
    assert checks(found)[0].status == "inconclusive"
    assert STOPPED in checks(found)[0].sentence


def test_where_all_fail_nothing_took_turns(setup_of, built):
    built.fails[PLAIN] = CaptureError("it waits for the host")
    found = measure_race(OURS, Entrants([OURS], [PLAIN], {}), setup_of)
    assert (found.fastest, found.turns, found.theirs) == (None, (), ())


def test_where_there_is_nobody_to_race_the_reason_is_said(setup_of):
    missing = {"a": "plain PyTorch has no bf16-manual", "b": "plain PyTorch has no bf16-manual", "c": "no triton"}
    with pytest.raises(Inapplicable, match=r"^plain PyTorch has no bf16-manual; no triton$"):
        measure_race(OURS, Entrants([OURS], [], missing), setup_of)


def test_what_must_be_reached_is_stored_and_of_compiled_steps_only_where_they_were_asked_for(cpu):
    case = Case(workload="ncf-movielens", precision="fp32", size="tiny")
    found = Bench(cpu).race(case, ["fp32"], ["plain"], at_least=1.04, same_mode_at_least=1.0)
    assert found.requirements.at_least == 1.04
    assert found.requirements.same_mode_at_least is None
    assert (found.name, found.case) == (f"race:{case.id}", case)
