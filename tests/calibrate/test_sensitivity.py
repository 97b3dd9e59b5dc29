"""Faults are planted, and it is counted how many are found."""

import itertools

import pytest
import torch

from mpcore.__main__ import main
from mpcore.calibrate.sensitivity import prove_accuracy
from mpcore.measure import Bench
from mpcore.measure.planted import FAULTS, drop_masters, scale_gradient, skipped
from mpcore.precision import precisions
from mpcore.records import Case, Quality, Requirements, Sensitivities, Training
from mpcore.store import RunError, add_sensitivities, sensitivities
from mpcore.training.step import TrainStep

CASE = Case(workload="dots", precision="bf16-amp", size="tiny")
SPREAD = (0.002, -0.001, 0.0, 0.001, -0.002, 0.0)


def trained(precision, mean, spread=SPREAD, reference=None):
    trainings = [
        Training(
            seed=seed, steps=1, train_seconds=1.0, evaluation_seconds=1.0, metrics={"accuracy": mean + off}, confusion=None,
            steps_per_point=1, losses=(1.0,), loss_scales=(), skipped_steps=0, diverged=None,
        )
        for seed, off in enumerate(spread)
    ]  # fmt: skip
    made = Quality(
        case=CASE.in_precision(precision), workload_version=1, device="cpu", batch_size=32, unit="rows", weights="random",
        data="embedded", rows={"train": 1600, "test": 2000}, metric="accuracy", trainings=tuple(trainings), reference=reference,
        requirements=Requirements(tolerance_points=1.0, low_precision_share=(0.5, 1.0)),
    )  # fmt: skip
    return made if reference else made.model_copy(update={"reference": made.scores})


class Scripted:
    """A bench whose trainings reach what is planned: points that FP32 loses by a fault."""

    def __init__(self, fp32, lost):
        self.fp32, self.lost, self.asked = fp32, lost, []

    def planted_accuracy(self, case, plant, reference):
        share = getattr(plant, "keywords", {}).get("share")
        fault = skipped(share).called if share else next((f.called for f in FAULTS if f.plant is plant), "none")
        self.asked.append(fault)
        lost = self.lost.get(fault, 0.0)
        return trained(
            case.precision, self.fp32 - lost / 100, SPREAD[::-1] if reference else SPREAD, reference and reference.scores
        )


def test_the_mildest_fault_that_costs_a_tolerance_is_found_in_twenty_trials():
    bench = Scripted(0.9, {"masters dropped": 8.0, "20 % of the steps skipped": 0.4, "40 % of the steps skipped": 1.2})
    told = []
    proof, table = prove_accuracy(bench, CASE, told.append)
    found = proof.sensitivity
    assert (found.fault, found.lost_points) == ("40 % of the steps skipped", pytest.approx(1.2))
    assert (found.tolerances_to_ceiling, found.trials) == (pytest.approx(10.0), 20)
    assert (found.found, found.alarms) == (20, 0)
    assert "60 % of the steps skipped" not in bench.asked
    assert [row[0] for row in table.rows] == bench.asked[1:]
    assert "dots-bf16-amp-eager-tiny: planted: masters dropped, points lost: +8.00, not passed: 20 of 20" in told
    assert len(told) == len(table.rows)


@pytest.mark.parametrize(
    ("lost", "planted", "found"),
    [
        ({20: 0.4, 40: 9.0, 30: 1.5}, (20, 40, 30), 30),
        ({20: 9.0, 10: 3.0, 5: 0.0}, (20, 10, 5), 10),
        ({20: 0.4, 40: 9.0, 30: 0.5, 35: 1.0}, (20, 40, 30, 35), 35),
        ({20: 0.0, 40: 0.0, 60: 0.0, 80: 0.5}, (20, 40, 60, 80), None),
    ],
    ids=["between", "from none", "twice", "none"],
)
def test_a_fault_that_costs_far_more_than_a_tolerance_is_made_milder(lost, planted, found):
    bench = Scripted(0.9, {skipped(percent / 100).called: points for percent, points in lost.items()})
    proof, _ = prove_accuracy(bench, CASE, lambda line: None)
    assert [fault for fault in bench.asked if "skipped" in fault] == [skipped(percent / 100).called for percent in planted]
    assert proof.sensitivity.fault == (skipped(found / 100).called if found else "")


def test_nothing_is_made_milder_where_a_mild_fault_costs_a_tolerance():
    bench = Scripted(0.9, {"masters dropped": 1.5, skipped(0.2).called: 9.0})
    proof, _ = prove_accuracy(bench, CASE, lambda line: None)
    assert bench.asked[-1] == skipped(0.2).called
    assert proof.sensitivity.fault == "masters dropped"


def test_where_no_fault_costs_a_tolerance_nothing_is_proved():
    proof, _ = prove_accuracy(Scripted(0.99, {}), CASE, lambda line: None)
    assert (proof.sensitivity.fault, proof.sensitivity.found, proof.sensitivity.tolerances_to_ceiling) == (
        "",
        0,
        pytest.approx(1.0),
    )


def steps_of(dots, cpu, plant, count):
    """The weights after each of so many steps with the fault."""
    step = TrainStep(dots, precisions["fp32"](), cpu)
    plant(step)
    batch, found = next(dots.data("train").batches(32)), []
    for _ in range(count):
        step(batch)
        found.append({name: weight.detach().clone() for name, weight in step.weights().items()})
    return found


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def test_a_fifth_of_the_steps_are_skipped(dots, cpu):
    found = steps_of(dots, cpu, skipped(0.2).plant, 10)
    assert [same(*pair) for pair in itertools.pairwise(found)] == [n in (3, 8) for n in range(9)]


def test_without_masters_weights_are_numbers_of_bf16(dots, cpu):
    (found,) = steps_of(dots, cpu, drop_masters, 1)
    assert same(found, {name: weight.bfloat16().float() for name, weight in found.items()})


def test_one_gradient_is_a_tenth_too_small(dots, cpu):
    dots.recipes = {"tiny": dots.recipe.model_copy(update={"optimiser": "SGD", "momentum": 0.0, "weight_decay": 0.0})}
    (start,), (right,), (wrong,) = (
        steps_of(dots, cpu, plant, 1) for plant in (skipped(1.0).plant, lambda step: None, scale_gradient)
    )
    changes = {n: (wrong[n] - start[n]).norm() / (right[n] - start[n]).norm() for n in start}
    assert {name: round(float(change), 2) for name, change in changes.items()} == {
        name: 0.9 if name == "0.weight" else 1.0 for name in start
    }


def test_wrong_gradients_are_found_as_far_as_the_format_tells_them():
    bench = Bench(torch.device("cpu"))
    case = Case(workload="ncf-movielens", precision="fp32", size="tiny")
    exact, coarse = (bench.found_gradients(case.in_precision(mode)) for mode in ("fp32", "bf16-amp"))
    assert exact.found["times 0.99"] == exact.found["zero"] == exact.tensors > 5
    assert coarse.found["times 0.99"] < coarse.found["zero"]
    assert coarse.tensors == exact.tensors


def test_the_command_keeps_what_it_has_found_where_the_gate_looks(tmp_path, capsys):
    options = ["--mp-workload", "ncf-movielens", "--mp-size", "tiny", "--mp-device", "cpu", "--mp-precision", "fp32"]
    assert main(["calibrate", "--sensitivity", *options, "--baselines", str(tmp_path), "--write"]) == 0
    assert "ncf-movielens-fp32-eager-tiny" in capsys.readouterr().out
    (path,) = tmp_path.glob("*/sensitivity.json")
    kept = sensitivities(tmp_path, path.parent.name)
    assert [proof.case.workload for proof in kept.numerics] == ["ncf-movielens"]
    assert main(["calibrate", "--sensitivity", "--slowdown", "1.1"]) == 2


def test_a_newer_proof_takes_the_place_of_an_older_one(tmp_path):
    old, new, other = (
        prove_accuracy(Scripted(fp32, {}), CASE.model_copy(update={"workload": workload}), lambda line: None)[0]
        for fp32, workload in ((0.9, "dots"), (0.8, "dots"), (0.8, "rings"))
    )
    for proof in (old, other, new):
        add_sensitivities(tmp_path, Sensitivities(hardware="h", accuracy=(proof,)))
    assert sensitivities(tmp_path, "h").accuracy == (other, new)
    (tmp_path / "h" / "sensitivity.json").write_text("{")
    with pytest.raises(RunError, match=r"sensitivity\.json: "):
        sensitivities(tmp_path, "h")
