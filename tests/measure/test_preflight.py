"""What is said of a workload or an own step before anything is measured."""

import dataclasses
from types import SimpleNamespace

import pytest
import torch

from mpcore.measure.preflight import check_cases
from mpcore.measure.setups import Setups
from mpcore.records import Case
from mpcore.workloads import OwnStep, WorkloadError, workloads


class Script(OwnStep):
    name = "script"
    precisions = ("fp32",)

    def build(self, precision, device):
        raise NotImplementedError

    def batches(self, device):
        raise NotImplementedError


@dataclasses.dataclass
class Failing:
    """Setups, of which each fails where it builds a step."""

    error: Exception
    checkpoints = ()

    def entry(self, case, **_):
        return Script("tiny")

    def of(self, case):
        def build():
            raise WorkloadError("script: the step failed") from self.error

        return SimpleNamespace(build=build)


CASES = [Case(workload="script", precision="fp32", size="tiny")]


def test_a_lack_of_memory_is_said_of_each_case_and_not_before_all(without_memory):
    check_cases(Failing(without_memory), CASES)


def test_what_is_wrong_with_a_step_is_said_before_all():
    with pytest.raises(WorkloadError):
        check_cases(Failing(RuntimeError("shapes")), CASES)


def test_what_is_wrong_with_a_tiny_model_is_said_before_all(dots, monkeypatch):
    halved = type("Halved", (type(dots),), {"name": "halved", "build_model": lambda self: dots.build_model().half()})
    monkeypatch.setattr(workloads, "_classes", {"halved": halved})
    with pytest.raises(
        WorkloadError, match=r"halved: build_model\(\) returned .* in torch.float16: expected all weights in FP32"
    ):
        check_cases(Setups(torch.device("cpu")), [Case(workload="halved", precision="fp32", size="tiny")])
