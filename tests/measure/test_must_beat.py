"""What mixed precision must be faster than."""

import pytest
import torch

from mpcore.measure.requirements import must_beat
from mpcore.measure.setups import Setups
from mpcore.measure.speeds import Speeds
from mpcore.precision import precisions
from mpcore.records import Case
from mpcore.workloads import workloads


@pytest.mark.parametrize(
    ("size", "device", "precision", "names"),
    [
        ("full", "cuda", "bf16-amp", ("fp32",)),
        ("full", "cuda", "bf16-true", ()),
        ("tiny", "cuda", "bf16-amp", ()),
        ("full", "cpu", "bf16-amp", ()),
    ],
)
def test_an_own_workload_is_held_to_fp32_on_a_gpu_in_size_full(dots, size, device, precision, names):
    case = Case(workload="dots", precision=precision, execution="graph", size=size)
    assert must_beat(case, precisions[precision], dots, torch.device(device)) == names


def test_those_that_come_along_claim_tf32_too():
    claims = [name for name in workloads.names() if workloads[name].amp_must_beat == ("fp32", "tf32")]
    assert {"bert-imdb", "gpt2-text", "resnet50", "unet-membrane", "vit-l-cifar10"} <= set(claims)


def test_for_a_compiled_case_no_reference_is_compiled_that_was_not_asked_for():
    speeds, asked = Speeds(Setups(torch.device("cpu")), lambda: None), []
    case = Case(workload="resnet18-mnist", precision="bf16-amp", execution="compile", size="tiny")
    for known in ([], ["fp32"]):
        speeds._speeds = {case.in_precision(name): None for name in known}
        asked.append(speeds.references_of(case))
    assert asked == [[], ["fp32"]]
    assert speeds.references_of(case.model_copy(update={"execution": "eager"})) == ["fp32"]
