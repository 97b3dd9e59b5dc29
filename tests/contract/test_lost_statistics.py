"""A mode that loses what a model remembers of its batches is found in evaluation."""

import pytest
import torch
from torch import nn

from mpcore.contract import test_evaluation
from mpcore.contract.harness import Subject
from mpcore.measure import Bench
from mpcore.precision import precisions
from mpcore.precision.master import BF16MasterWeights


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
    test_evaluation.test_evaluation_agrees_with_fp32(Subject("resnet18-mnist", "bf16-manual", bench))
    with pytest.raises(AssertionError):
        test_evaluation.test_evaluation_agrees_with_fp32(Subject("resnet18-mnist", "bf16-forgetful", bench))
