"""What a session will take, from what accepted runs took."""

import pytest
import torch

from mpcore.doctor.estimates import estimates
from mpcore.doctor.forecast import document, forecast, in_all
from mpcore.records import Blocks, Case, Cost, Hardware, Machine, Result, Run, Selection, Speed
from mpcore.report.render import render

CPU = torch.device("cpu")
GIB = 2**30
BERT = Selection(workloads=("bert-imdb",), precisions=("fp32", "bf16-true"), size="tiny")


def result(precision, seconds, ceiling=None, peak=30 * GIB):
    case = Case(workload="bert-imdb", precision=precision, size="tiny")
    step = {
        "workload_version": 1, "device": "cuda", "batch_size": 32, "unit": "reviews", "blocks": Blocks(steps=1, seconds=(1.0,)),
        "eager": None, "references": {}, "pool_bytes": None, "peak_allocated_bytes": None, "peak_reserved_bytes": None,
        "loss_before": 1.0, "loss_after": 0.5, "loss_scale": None, "skipped_steps": 0, "flops_per_step": 1,
        "low_precision_flops_share": 0.0, "profile": None, "gpu": None, "dropped_blocks": 0, "ceiling_flops": ceiling,
    }  # fmt: skip
    return Result(record=Speed(case=case, **step), cost=Cost(seconds=seconds, peak_bytes=peak) if seconds else None)


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
    found = estimates(runs, "h100", None)
    assert (found.source.datetime[:10], found.speed) == ("2026-01-02", 1.0)
    assert found.seconds("speed:bert-imdb-fp32-eager-tiny") == 60.0
    assert found.seconds("speed:bert-imdb-tf32-eager-tiny") is None


def test_another_gpu_is_scaled_by_what_its_matrix_units_reach():
    runs = [run_on("H200", 3, result("fp32", 60.0), result("bf16-true", 30.0, ceiling=800e12))]
    found = estimates(runs, "t4", 400e12)
    assert found.seconds("speed:bert-imdb-fp32-eager-tiny") == 120.0
    assert found.peak_bytes("speed:bert-imdb-fp32-eager-tiny") == 30 * GIB


@pytest.mark.parametrize("ceiling", [None, 400e12])
def test_what_cannot_be_scaled_or_tells_nothing_is_no_estimate(ceiling):
    assert estimates([run_on("H200", 3, result("fp32", 60.0))], "t4", ceiling) is None
    assert estimates([run_on("T4", 3, result("fp32", None))], "t4", ceiling) is None


def test_all_cases_are_told_with_what_is_not_known():
    found = estimates([run_on("H100", 1, result("fp32", 90.0))], "h100", None)
    expected = forecast(BERT, CPU, found)
    assert [(e.case.precision, e.seconds, e.peak_bytes) for e in expected] == [
        ("fp32", 90.0, 30 * GIB),
        ("bf16-true", None, None),
    ]
    assert in_all(expected, found) == (
        "2 cases will run, in about 2 minutes and 30 GiB. This is an estimate from what a run on H100 took at "
        "2026-01-01 12:00. What 1 case of these will take is not known."
    )


def test_what_is_not_run_says_why_and_what_would_spoil_figures_comes_first():
    selection = BERT.model_copy(update={"precisions": ("fp32", "tf32")})
    text = render(document(forecast(selection, CPU, None), None, ["the GPU is 90 % busy"], "a machine"), "terminal")
    lines = text.splitlines()
    assert lines[:4] == ["a machine", "", "would spoil figures:", "  the GPU is 90 % busy"]
    assert any(line.startswith("  tf32 needs an NVIDIA GPU") for line in lines)
    assert "1 case will run. No accepted run tells what they take" in text
