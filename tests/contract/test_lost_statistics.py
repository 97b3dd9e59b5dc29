"""A mode that loses what a model remembers of its batches is found in evaluation."""

import pytest
import torch
from torch import nn

from mpcore.contract.harness import Subject
from mpcore.contract.test_evaluation import test_evaluation_agrees_with_fp32 as agrees
from mpcore.measure import Bench
from mpcore.precision import precisions
from mpcore.precision.master import BF16MasterWeights

agrees.__test__ = False  # it is called here, and collected elsewhere


class Forgetful(BF16MasterWeights):
    """BatchNorm's running statistics stay what they were."""

    name = "bf16-forgetful"

    def prepare(self, model, recipe):
        super().prepare(model, recipe)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 0.0


def test_running_statistics_that_are_lost_are_found(monkeypatch):
    monkeypatch.setattr(precisions, "_classes", dict(precisions._classes))
    precisions.register(Forgetful)
    bench = Bench(torch.device("cpu"))
    agrees(Subject("resnet18-mnist", "bf16-manual", bench))
    with pytest.raises(AssertionError):
        agrees(Subject("resnet18-mnist", "bf16-forgetful", bench))
