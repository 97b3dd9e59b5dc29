"""All that `ab` judges besides time, by the gate's own functions."""

import argparse

import made
import pytest
import stub
from scripted import DEFAULTS, Script, compared

from mpcore.ab import Checkout
from mpcore.ab.figures import judged, measure
from mpcore.commands.ab import _give_back, _kept, _proofs, exit_code
from mpcore.gate import Judge, Policy
from mpcore.gate.accuracy import proof_terms
from mpcore.records import (
    AccuracyProof,
    Compilation,
    Failure,
    Parallel,
    RankState,
    Requirements,
    Selection,
    Sensitivities,
    Sensitivity,
)
from mpcore.runner import RunnerError
from mpcore.selection import SelectionError
from mpcore.store import add_sensitivities

GIB = 2**30


def found(base, head, policy=DEFAULTS):
    return {regression.metric: regression for regression in judged(base, head, policy)}


def compilation(seconds):
    return Compilation(graphs=1, seconds=seconds, warm=False)


def trained(*accuracies):
    return made.quality("fp16-amp", *accuracies, requirements=Requirements(tolerance_points=1.0))


@pytest.mark.parametrize(
    ("metric", "base", "head"),
    [
        ("memory", made.speed(peak_allocated_bytes=4 * GIB), made.speed(peak_allocated_bytes=5 * GIB)),
        ("compile time", made.speed(compilation=compilation(20.0)), made.speed(compilation=compilation(40.0))),
        ("gradient error", made.numerics(gradient_error=0.01), made.numerics(gradient_error=0.02)),
        ("accuracy", trained(0.9, 0.9, 0.9), trained(0.8, 0.8, 0.81)),
    ],
)
def test_each_figure_is_judged_against_base(metric, base, head):
    assert found(base, base)[metric].status in ("same", "saturated")
    worse = found(base, head)[metric]
    assert worse.status == "worse"
    assert "base" in worse.sentence
    assert "accepted" not in worse.sentence


def planted(record, found):
    """A proof that holds of its trainings: so many of twenty planted faults were found."""
    sensitivity = Sensitivity(tolerances_to_ceiling=10, found=found, trials=20, fault="masters are dropped")
    return AccuracyProof(workload=record.case.workload, terms=proof_terms(record), sensitivity=sensitivity)


@pytest.mark.parametrize(("count", "status"), [(20, "same"), (3, "saturated")])
def test_a_training_in_which_no_planted_fault_is_found_is_saturated_as_in_the_suite(count, status):
    record = trained(0.9, 0.9, 0.9)
    proofs = [planted(record, count)]
    (accuracy,) = judged(record, record, DEFAULTS, proofs)
    (of_suite,) = Judge([made.run(record)], DEFAULTS, proofs=proofs).judge(record).regressions
    assert (accuracy.status, of_suite.status) == (status, status)
    assert accuracy.sentence == of_suite.sentence.replace("the accepted run", "base")


@pytest.mark.parametrize("accuracy", [True, False])
def test_proofs_of_the_hardware_are_read_where_accuracy_is_asked_for(accuracy):
    asked, record = [], trained(0.9, 0.9, 0.9)

    def proofs(hardware):
        asked.append(hardware)
        return [planted(record, 3)]

    def trains(side, selection, cases, kinds):
        return {("accuracy", cases[0]): record} if "accuracy" in kinds else {}

    script = Script({"a": 0.001}, {"a": 0.001})
    comparison, _ = compared(script, time_all=False, measure=trains, accuracy=accuracy, proofs=proofs)
    assert asked == ([script.listings["head"].machine.hardware.key] if accuracy else [])
    assert ("saturated" in comparison.statuses) is accuracy


def test_the_command_reads_them_in_the_folder_of_baselines(tmp_path):
    proofs = [planted(trained(0.9, 0.9, 0.9), 3)]
    add_sensitivities(tmp_path, Sensitivities(hardware="some-gpu", accuracy=proofs))
    options = argparse.Namespace(baselines=tmp_path, accuracy=True)
    assert list(_proofs(options)("some-gpu")) == proofs
    assert list(_proofs(options)("another")) == []
    with pytest.raises(SelectionError, match="expected --accuracy, too"):
        _proofs(argparse.Namespace(baselines=tmp_path, accuracy=False))


def test_an_interrupted_comparison_goes_on_with_its_folder(tmp_path):
    options = argparse.Namespace(prepare=None, accuracy=True, time_all=False, baselines=tmp_path, mp_margin=[])
    flags = _kept(options)
    options.accuracy = options.baselines = None
    _give_back(options, flags)
    assert (options.accuracy, options.baselines) == (True, tmp_path)


def test_margins_of_the_project_count():
    heads = made.speed(peak_allocated_bytes=4 * GIB), made.speed(peak_allocated_bytes=5 * GIB)
    assert found(*heads, Policy([("*", {"memory": 50.0})]))["memory"].status == "same"


def test_what_is_out_of_its_limit_in_head_alone_is_worse():
    good, bad = (made.numerics(loss_error=e, requirements=Requirements(loss_error=0.01)) for e in (0.0, 1.0))
    lost = found(good, bad)["loss error limit"]
    assert (lost.status, lost.sentence.endswith("; in base it passes")) == ("worse", True)
    assert found(bad, bad)["loss error limit"].status == "same"


def test_replicas_that_drift_apart_in_head_alone_are_worse():
    state = RankState(masters="a", weights="b", optimiser="c", buffers="d")
    case = stub.case("bert").model_copy(update={"strategy": "ddp", "gpus": 2})
    terms = {"workload_version": 1, "device": "cpu", "batch_size": 8, "unit": "rows", "requirements": Requirements()}
    good = Parallel(case=case, **terms, steps=20, sharded=False, ranks=(state, state), collectives=(), alike=True)
    drifted = good.model_copy(update={"ranks": (state, state.model_copy(update={"weights": "x"}))})
    lost = found(good, drifted)["replicas limit"]
    assert (lost.status, "rank 1 has the weights of the model otherwise" in lost.sentence) == ("worse", True)
    assert {regression.status for regression in found(good, good).values()} == {"same"}


def asked(measure):
    script = Script({"a": 0.001}, {"a": 0.001})
    return compared(script, time_all=False, measure=measure)[0]


def test_they_stand_beside_the_time_of_their_case():
    def counts(side, selection, cases, kinds):
        return {("work", case): stub.work("a", 2 if side.name != "main" else 1) for case in cases}

    comparison = asked(counts)
    (case,) = comparison.cases
    statuses = {regression.metric: regression.status for regression in case.regressions}
    assert (statuses["step time"], statuses["casts"], exit_code(comparison)) == ("same", "worse", 1)


def test_what_fails_in_head_alone_is_a_failure():
    def fails(side, selection, cases, kinds):
        work = stub.work("a") if side.name == "main" else Failure(case=cases[0], sentence="no memory")
        return {("work", cases[0]): work}

    assert asked(fails).failures == {"a-fp32-graph-full": "head: work: no memory"}


def test_a_process_that_does_not_begin_keeps_what_was_timed():
    def dies(*_):
        raise RunnerError("its process was ended by SIGKILL")

    comparison = asked(dies)
    assert len(comparison.cases[0].pairs) == 6
    assert exit_code(comparison) == 2


def test_in_a_process_as_it_is():
    from test_ab_command import ROOT

    selection = Selection(workloads=("resnet18-mnist",), precisions=("bf16-amp",), device="cpu", size="tiny")
    case = stub.case("resnet18-mnist").model_copy(update={"precision": "bf16-amp", "execution": "eager", "size": "tiny"})
    measured = measure(Checkout("head", ROOT), selection, [case], ["numerics"])
    assert measured["numerics", case].kind == "numerics"
