"""What a session will take, from what accepted runs took."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mpcore.doctor.ceilings import _with_fp64, ceilings_here
from mpcore.doctor.choice import Planned, chosen, untold_trainings
from mpcore.doctor.estimates import Card, Estimates, estimates
from mpcore.doctor.forecast import LEFT_OUT, document, forecast, in_all
from mpcore.records import (
    Blocks,
    Case,
    Cost,
    Family,
    Hardware,
    Machine,
    Numerics,
    Profile,
    Quality,
    Result,
    Run,
    Selection,
    Speed,
)
from mpcore.report.render import render
from mpcore.store import all_accepted

CPU = torch.device("cpu")
GIB = 2**30
BASELINES = Path(__file__).parents[2] / "baselines"
BERT = Selection(workloads=("bert-imdb",), precisions=("fp32", "bf16-true"), size="tiny")


def case(precision, **fields):
    return Case(**{"workload": "bert-imdb", "precision": precision, "size": "tiny"} | fields)


def result(precision, seconds, ceiling=None, peak=30 * GIB, copied=None, profile=None, **fields):
    step = {
        "workload_version": 1, "device": "cuda", "batch_size": 32, "unit": "reviews", "blocks": Blocks(steps=1, seconds=(1.0,)),
        "eager": None, "references": {}, "pool_bytes": None, "peak_allocated_bytes": None, "peak_reserved_bytes": None,
        "loss_before": 1.0, "loss_after": 0.5, "loss_scale": None, "skipped_steps": 0, "flops_per_step": 1,
        "low_precision_flops_share": 0.0, "profile": profile, "gpu": None, "dropped_blocks": 0, "ceiling_flops": ceiling,
        "ceiling_bytes": copied,
    }  # fmt: skip
    return Result(
        record=Speed(case=case(precision, **fields), **step), cost=Cost(seconds=seconds, peak_bytes=peak) if seconds else None
    )


def run_on(name, day, *results):
    hardware = Hardware(
        device="cuda", name=name, count=1, memory_bytes=80 * GIB, power_limit_watts=700, mig="off", uuid=name, capability="9.0",
        cpu="a cpu", cores=8,
    )  # fmt: skip
    machine = Machine(hardware=hardware, software={})
    return Run(command="pytest", datetime=f"2026-01-{day:02}T12:00:00+00:00", commit="c0ffee", machine=machine, results=results)


def test_the_newest_run_of_the_same_hardware_tells():
    runs = [
        run_on("H100", 1, result("fp32", 90.0)),
        run_on("H100", 2, result("fp32", 60.0)),
        run_on("H200", 3, result("fp32", 1.0)),
    ]
    found = estimates(runs, "h100", {})
    assert (found.newest.datetime[:10], found.speeds) == ("2026-01-02", {})
    assert found.seconds("speed", case("fp32")) == 60.0
    assert found.seconds("speed", case("tf32")) is None


def test_what_the_newest_run_has_not_measured_an_older_one_tells():
    runs = [run_on("H100", 1, result("fp32", 90.0), result("tf32", 20.0)), run_on("H100", 2, result("fp32", 60.0))]
    found = estimates(runs, "h100", {})
    assert [found.seconds("speed", case(name)) for name in ("fp32", "tf32")] == [60.0, 20.0]


def test_of_a_batch_that_was_made_to_fit_memory_is_a_share():
    """BERT's step takes 1.64 GiB, and 0.146 GiB for each review."""
    full, fit = {"size": "full"}, {"size": "fit", "batch_size": 8}
    found = estimates([run_on("H100", 1, result("fp32", 90.0, peak=3 * GIB, **full))], "h100", {})
    share = (1.64 + 8 * 0.146) / (1.64 + 32 * 0.146)
    assert found.peak_bytes("speed", case("fp32", **fit)) == pytest.approx(3 * GIB * share)
    assert found.seconds("speed", case("fp32", **fit)) == 90.0
    measured = estimates([run_on("H100", 1, result("fp32", 90.0, **full), result("fp32", 9.0, peak=GIB, **fit))], "h100", {})
    assert measured.peak_bytes("speed", case("fp32", **fit)) == GIB
    assert measured.seconds("speed", case("fp32", **fit)) == 9.0


def allocating(gib, **fields):
    step = result("fp32", 90.0, **fields)
    return step.model_copy(update={"record": step.record.model_copy(update={"peak_allocated_bytes": gib * GIB})})


def test_a_step_takes_all_memory_and_needs_what_it_allocates_and_a_tenth_more():
    """What was reserved holds what cuDNN tried with the memory that was free."""
    found = estimates([run_on("H100", 1, allocating(10), result("tf32", 9.0))], "h100", {})
    assert [found.peak_bytes("speed", case(mode)) for mode in ("fp32", "tf32")] == [30 * GIB, 30 * GIB]
    assert found.peak_bytes("speed", case("fp32"), Card(24 * GIB)) == 24 * GIB
    assert [found.needed_bytes("speed", case(mode)) for mode in ("fp32", "tf32")] == [11 * GIB, 30 * GIB]
    assert found.needed_bytes("numerics", case("fp32")) is None


@pytest.mark.parametrize(("size", "batch", "reviews"), [("fit", 8, 8), ("full", None, 32)])
def test_a_step_needs_no_more_than_its_batch_is_said_to_hold(size, batch, reviews):
    """On a large GPU cuDNN takes algorithms that need far more, in whatever size was measured there."""
    step = case("fp32", size=size, batch_size=batch)
    for measured in ({"size": "full"}, {"size": size, "batch_size": batch}):
        found = estimates([run_on("H100", 1, allocating(60, **measured))], "h100", {})
        assert found.needed_bytes("speed", step) == pytest.approx((1.64 + reviews * 0.146) * GIB, rel=1e-6)


TOOK = {
    ("speed", "bert-imdb", "fp32", 32): 11.6,
    ("speed", "gpt2-text", "fp16-amp", 8): 19.1,
    ("speed", "resnet50", "bf16-amp", 128): 12.0,
    ("speed", "resnet50", "fp32", 128): 23.1,
    ("speed", "unet-membrane", "fp32", 8): 23.2,
    ("speed", "vit-l-cifar10", "bf16-manual", 32): 15.9,
    ("accuracy", "bert-imdb", "fp32", 32): 6.4,
    ("numerics", "bert-imdb", "fp32", 32): 17.7,
    ("numerics", "bert-imdb", "tf32", 32): 15.5,
    ("numerics", "bert-imdb", "bf16-manual", 32): 10.9,
    ("numerics", "gpt2-text", "fp16-amp", 8): 11.2,
    ("numerics", "vit-l-cifar10", "fp16-amp", 32): 9.4,
    ("numerics", "vit-l-cifar10", "bf16-true", 32): 8.2,
}
"""GiB that tests in size `fit` took of 23.25 on an H200, and of 15.5 where one row is compared."""


@pytest.fixture(scope="module")
def h200():
    """What accepted runs of whole batches tell."""
    runs = [run for found in all_accepted(BASELINES).values() for run in found]
    runs = [run.model_copy(update={"results": [r for r in run.results if r.record.case.size == "full"]}) for run in runs]
    return estimates(runs, "nvidia-h200", {})


@pytest.mark.parametrize(("kind", "workload", "mode", "batch"), TOOK)
def test_what_a_small_card_takes_is_told_from_a_large_one(h200, kind, workload, mode, batch):
    fit = case(mode, workload=workload, size="fit", batch_size=batch, execution="graph")
    said = h200.peak_bytes(kind, fit, Card(round(23.25 * GIB)))
    assert said / GIB == pytest.approx(TOOK[kind, workload, mode, batch], rel=0.1)


@pytest.mark.parametrize(
    ("size", "batch", "fast", "gib"), [("fit", 32, True, 17.7), ("fit", 32, False, 12.4), ("full", None, False, 12.4)]
)
def test_errors_on_fewer_rows_take_less(h200, size, batch, fast, gib):
    """An H200 compared 32 rows of BERT in 26.3 GiB, 16 in 17.7 and 8 in 12.4. A card of 24 GB compares 16, or 8 where FP64 is
    slow."""
    one = case("fp32", size=size, batch_size=batch, execution="graph")
    said = h200.peak_bytes("numerics", one, Card(round(23.25 * GIB), fast))
    assert said / GIB == pytest.approx(gib, rel=0.05)


def test_trainings_that_no_run_has_made_are_named():
    tests = [Planned(kind, case("fp32", workload=name)) for name in ("bert-imdb", "resnet50") for kind in ("speed", "accuracy")]
    assert untold_trainings(tests, estimates([run_on("H100", 1, result("fp32", 90.0))], "h100", {})) == "bert-imdb and resnet50"


def test_where_all_trainings_are_told_or_none_is_made_nothing_is_said_of_them(monkeypatch):
    trained = Quality.model_construct(kind="accuracy", case=case("fp32"))
    told = estimates([run_on("H100", 1, result("fp32", 90.0))], "h100", {})
    told = replace(told, costs=told.costs | {trained.name: Cost(seconds=600.0, peak_bytes=GIB)})
    selection = BERT.model_copy(update={"precisions": ("fp32",)})
    assert in_all(forecast(selection, CPU, told), told).endswith("the newest at 2026-01-01 12:00.")
    assert untold_trainings([], told) == ""
    long = selection.model_copy(update={"workloads": ("resnet50",)})
    assert "trained" not in in_all(forecast(long, CPU, told), told)


def test_a_case_that_is_compiled_is_not_trained(monkeypatch):
    monkeypatch.setattr("mpcore.matrix.product.compiled_besides", lambda workload, precisions, *_: precisions)
    told = estimates([run_on("H100", 1, result("fp32", 90.0))], "h100", {})
    expected = forecast(BERT, CPU, told)
    assert {(e.case.execution, e.untold) for e in expected} == {("eager", True), ("compile", False)}


def test_of_errors_a_smaller_batch_tells_nothing():
    full, fit = case("fp32", size="full"), case("fp32", size="fit", batch_size=8)
    found = Estimates(run_on("H100", 1), {}, {f"numerics:{full.id}": Cost(seconds=9.0, peak_bytes=GIB)})
    assert found.peak_bytes("numerics", fit) == GIB


CEILINGS = {"fp32": (60.0, 50e12), "bf16-true": (30.0, 800e12), "fp16-amp": (30.0, 700e12)}
"""By mode, the seconds of its test and what products of its format reach."""
H200 = [result(mode, seconds, ceiling) for mode, (seconds, ceiling) in CEILINGS.items()]
T4 = {"fp32": 5e12, "fp16": 70e12}


def test_another_gpu_is_scaled_by_what_it_reaches_in_the_format_of_each_mode():
    found = estimates([run_on("H200", 3, *H200)], "t4", T4)
    assert found.seconds("speed", case("fp32")) == pytest.approx(600.0)
    assert found.seconds("speed", case("fp16-amp")) == pytest.approx(300.0)
    assert found.usual_seconds("speed", case("fp16-manual")) == pytest.approx(300.0)
    assert found.peak_bytes("speed", case("fp32")) == 30 * GIB


def test_a_format_that_was_not_compared_counts_as_the_slowest_that_was():
    ceilings = {"fp32": 25e12, "fp16": 70e12, "fp64": 1e12}
    found = estimates([run_on("H200", 3, *H200)], "t4", ceilings)
    assert found.seconds("speed", case("bf16-true")) == pytest.approx(300.0)


def test_what_is_no_product_is_scaled_by_copies():
    families = [Family(name=name, bits=32, count=1, seconds=s) for name, s in {"matrix product": 3.0, "copy": 1.0}.items()]
    profile = Profile(kernels=(), families=tuple(families))
    profiled = result("fp32", 60.0, ceiling=50e12, copied=4e12, profile=profile)
    found = estimates([run_on("H200", 3, profiled)], "t4", T4 | {"copies": 0.25e12})
    assert found.seconds("speed", case("fp32")) == pytest.approx(60.0 * (0.75 * 10 + 0.25 * 16))
    assert "What copies memory is 0.062 times as fast." in in_all(forecast(BERT, CPU, found), found)
    unknown = estimates([run_on("H200", 3, profiled)], "t4", T4)
    assert unknown.seconds("speed", case("fp32")) == pytest.approx(600.0)


def test_copies_alone_say_how_fast_another_gpu_is():
    found = estimates([run_on("H200", 3, result("fp32", 60.0, ceiling=50e12, copied=4e12))], "t4", {"copies": 1e12})
    assert found.seconds("speed", case("fp32")) == pytest.approx(240.0)
    assert "products" not in in_all(forecast(BERT, CPU, found), found)


@pytest.mark.parametrize(("workload", "rows", "fewer"), [("bert-imdb", 32, 4), ("gpt2-text", 2, 2), ("unet-membrane", 1, 1)])
def test_errors_are_scaled_by_fp64_and_by_their_samples(workload, rows, fewer):
    """An H200 has half as many units for FP64 as for FP32, and a T4 a 32nd. It compares a quarter of the samples, but
    one at least."""
    of = case("bf16-true", workload=workload, size="full")
    numerics = Numerics.model_construct(kind="numerics", case=of, batch_size=rows)
    errors = Result.model_construct(record=numerics, cost=Cost(seconds=7.0, peak_bytes=None))
    runs, t4 = [run_on("H200", 3, *H200, errors)], Card(16 * GIB, fast_in_fp64=False)
    found = estimates(runs, "t4", with_fp64(T4, "7.5"), t4)
    assert found.seconds("numerics", of) == pytest.approx(7.0 * 50 / 5 * (1 / 2) * 32 / fewer)
    assert found.seconds("speed", of) is None
    a100 = estimates(runs, "a100", with_fp64(T4, "8.0"), Card(40 * GIB))
    assert a100.seconds("numerics", of) == pytest.approx(7.0 * 50 / 5)


def with_fp64(ceilings, capability):
    return _with_fp64(ceilings, run_on("T4", 1).machine.hardware.model_copy(update={"capability": capability}))


def test_ceilings_of_older_runs_of_the_same_gpu_count_too():
    runs = [run_on("H200", 1, *H200), run_on("H200", 2, result("fp32", 60.0, ceiling=50e12))]
    assert estimates(runs, "t4", T4).speeds == pytest.approx({"fp32": 0.1, "fp16": 0.1})


def test_a_product_in_each_format_that_the_gpu_has_is_measured(monkeypatch):
    measured = []

    def flops(mode, device):
        measured.append(mode.name)
        if mode.name == "fp16-true":
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return 5e12

    monkeypatch.setattr("mpcore.measure.ceiling.matmul_flops", flops)
    monkeypatch.setattr("mpcore.measure.ceiling.copied_bytes", lambda device: 2.5e11)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla T4")
    hardware = run_on("T4", 1).machine.hardware.model_copy(update={"capability": "7.5"})
    found = ceilings_here(hardware, torch.device("cuda"))
    assert measured == ["fp32", "fp16-true"]
    assert found == pytest.approx({"fp32": 5e12, "fp64": 5e12 / 32, "copies": 2.5e11})


def test_what_an_estimate_is_scaled_by_and_what_it_is_not_is_told():
    told = estimates([run_on("H200", 3, *H200)], "t4", with_fp64({"fp32": 5.1e12, "fp16": 70e12}, "7.5"))
    said = in_all(forecast(BERT, CPU, told), told)
    assert (
        "took, the newest at 2026-01-03 12:00. By large products this GPU's speed is 0.1 in FP32 and 0.1 in FP16, where that "
        "one's is 1. Its class says 0.0064 in FP64, which errors need. What copies memory is scaled as products are: no run "
        "tells how fast its GPU copies."
    ) in said


def test_a_training_that_no_run_has_made_is_not_chosen():
    found = estimates([run_on("H100", 1, result("fp32", 90.0))], "h100", {})
    tests = [Planned(kind, case("fp32")) for kind in ("speed", "accuracy")]
    assert list(chosen(tests, found, 1000)) == tests[:1]


@pytest.mark.parametrize("ceilings", [{}, {"bf16": 400e12}])
def test_what_cannot_be_scaled_or_tells_nothing_is_no_estimate(ceilings):
    assert estimates([run_on("H200", 3, result("fp32", 60.0))], "t4", ceilings) is None
    assert estimates([run_on("T4", 3, result("fp32", None))], "t4", ceilings) is None


def test_all_cases_are_told_with_what_is_not_known():
    found = estimates([run_on("H100", 1, result("fp32", 90.0))], "h100", {})
    expected = forecast(BERT, CPU, found)
    assert [(e.case.precision, e.seconds, e.peak_bytes) for e in expected] == [
        ("fp32", 90.0, 30 * GIB),
        ("bf16-true", None, None),
    ]
    assert in_all(expected, found) == (
        "2 cases will run, in about 2 minutes and 30 GiB. This is an estimate from what accepted runs on H100 took, the newest "
        "at 2026-01-01 12:00. What 1 case of these will take is not known. How long bert-imdb will be trained is not known, "
        "and not in it."
    )


def test_what_is_not_run_says_why_and_what_would_spoil_figures_comes_first():
    selection = BERT.model_copy(update={"precisions": ("fp32", "tf32")})
    text = render(document(forecast(selection, CPU, None), None, ["the GPU is 90 % busy"], "a machine"), "terminal")
    lines = text.splitlines()
    assert lines[:4] == ["a machine", "", "would spoil figures:", "  the GPU is 90 % busy"]
    assert any(line.startswith("  tf32 needs an NVIDIA GPU") for line in lines)
    assert "1 case will run. No accepted run tells what they take" in text


@pytest.mark.parametrize(("gib", "said"), [(24, True), (80, False), (None, False)])
def test_a_case_that_took_more_memory_than_there_is_is_told(gib, said):
    card = None if gib is None else Card(gib * GIB)
    found = estimates([run_on("H100", 1, result("fp32", 90.0))], "h100", {})
    text = render(document(forecast(BERT, CPU, found, card=card), found, [], "a machine", card), "markdown")
    told = "24 GiB are too little for 1 case of bert-imdb, as accepted runs tell. A case that finds too little is skipped."
    assert (told in " ".join(text.split())) == said


@pytest.mark.parametrize(("size", "said"), [("full", True), ("tiny", False)])
def test_fit_is_named_where_its_batch_is_smaller(size, said):
    selection, card = BERT.model_copy(update={"size": size}), Card(6 * GIB)
    found = estimates([run_on("H100", 1, result("fp32", 90.0, size=size))], "h100", {})
    text = render(document(forecast(selection, CPU, found, card=card), found, [], "a machine", card), "markdown")
    assert "6 GiB are too little for 1 case of bert-imdb" in text
    assert ("--mp-size fit chooses batches that fit." in text) == said


@pytest.mark.parametrize(("kind", "needed"), [("numerics", None), ("speed", 30 * GIB)])
def test_errors_are_measured_in_what_memory_there_is(kind, needed):
    newest = run_on("H100", 1)
    found = Estimates(newest, {}, {f"{kind}:{case('fp32').id}": Cost(seconds=1.0, peak_bytes=30 * GIB)})
    expected = forecast(BERT, CPU, found, card=Card(24 * GIB))[0]
    assert (expected.peak_bytes, expected.needed_bytes) == (24 * GIB, needed)


def test_cases_that_no_run_tells_of_are_a_row_a_workload_without_columns_of_dashes():
    text = render(document(forecast(BERT, CPU, None), None, [], "a machine"), "terminal")
    assert "bert-imdb  tiny  eager      fp32, bf16-true" in text.splitlines()
    assert "minutes" not in text.split("2 cases will run.")[0]
    assert "minutes" in render(document(forecast(BERT, CPU, known()), known(), [], "a machine"), "terminal")


def test_a_batch_that_was_made_smaller_takes_at_most_what_the_usual_one_does():
    found = estimates([run_on("H100", 1, result("fp32", 90.0, size="full"))], "h100", {})
    assert found.seconds("speed", case("fp32", size="fit", batch_size=4)) == 90.0


WORTH = {
    "speed:bert-imdb-fp32-eager-tiny": 60.0,
    "speed:bert-imdb-bf16-amp-eager-tiny": 30.0,
    "speed:bert-imdb-bf16-true-eager-tiny": 10.0,
    "numerics:bert-imdb-bf16-amp-eager-tiny": 20.0,
    "accuracy:bert-imdb-fp32-eager-tiny": 600.0,
}
"""What each takes, in seconds."""


def known():
    costs = {name: Cost(seconds=seconds, peak_bytes=None) for name, seconds in WORTH.items()}
    return Estimates(run_on("H100", 1), {}, costs)


@pytest.mark.parametrize(
    ("minutes", "names"),
    [
        (0.5, ["speed of bf16-amp"]),
        (1.5, ["speed of bf16-amp", "speed of fp32"]),
        (2.0, ["speed of bf16-amp", "speed of fp32", "speed of bf16-true", "numerics of bf16-amp"]),
        (99.0, ["speed of bf16-amp", "speed of fp32", "speed of bf16-true", "numerics of bf16-amp", "accuracy of fp32"]),
    ],
)
def test_the_tests_of_most_worth_within_a_time_are_chosen(minutes, names):
    tests = [Planned(name.split(":")[0], case(name.split("-eager")[0].split("imdb-")[1])) for name in reversed(WORTH)]
    found = chosen(tests, known(), minutes)
    assert [f"{test.kind} of {test.case.precision}" for test in found] == names
    assert sum(found.values()) <= 60 * minutes


@pytest.mark.parametrize(("minutes", "kinds"), [(0.5, []), (2.0, ["speed", "work"])])
def test_what_a_step_does_is_counted_while_it_is_timed(minutes, kinds):
    """Recorded beside a speed it takes no time; alone it builds the step and runs it."""
    tests = [Planned(kind, case("fp32")) for kind in ("work", "speed")]
    costs = {"speed:bert-imdb-fp32-eager-tiny": 60.0, "work:bert-imdb-fp32-eager-tiny": 0.1}
    told = Estimates(run_on("H100", 1), {}, {name: Cost(seconds=seconds, peak_bytes=None) for name, seconds in costs.items()})
    assert sorted(test.kind for test in chosen(tests, told, minutes)) == kinds
    assert [test.kind for test in chosen(tests[:1], told, minutes)] == ["work"]


def test_what_no_run_tells_counts_as_usual():
    assert chosen([Planned("numerics", case("tf32"))], known(), 1.0) == {Planned("numerics", case("tf32")): 20.0}
    assert chosen([Planned("race", case("tf32"))], known(), 1.0) == {Planned("race", case("tf32")): 30.0}


def test_a_forecast_within_a_time_says_what_is_left_out():
    selection = BERT.model_copy(update={"precisions": ("fp32", "bf16-amp", "bf16-true")})
    found = forecast(selection, CPU, known(), 1.0)
    assert [(e.case.precision, e.reason, e.seconds) for e in found] == [
        ("fp32", LEFT_OUT, None),
        ("bf16-amp", None, 50.0),
        ("bf16-true", None, 10.0),
    ]
