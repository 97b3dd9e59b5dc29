"""Is our step as fast as what people train with, and how much faster as a graph? The same model, data, recipe and mode through
a plain PyTorch loop, Lightning Fabric, Accelerate and transformers' Trainer; or, with `--mp-trainer`, those of any trainer
against theirs.

Run on request, with `-m parity` or by the name of this file: it compares with others, and stops no merge by itself.
"""

import pytest

pytestmark = pytest.mark.parity

AT_LEAST = {
    ("bert-s128", "bf16-amp", "graph"): 1.5,
    ("resnet18-mnist", "fp16-amp", "graph"): 4.0,
}
"""Times as fast as the other one, on a GPU; what is not named must not be slower by more than half a per cent."""
NOT_SLOWER = 0.995


@pytest.mark.workloads("bert-s128", "bert-s512", "resnet18-mnist", "resnet50")
@pytest.mark.parametrize("trainer", ["plain", "fabric", "accelerate"], indirect=True)
def test_step(case, trainer, measure, judge):
    at_least = AT_LEAST.get((case.workload, case.precision, case.execution), NOT_SLOWER)
    judge(measure.step_parity(case, trainer, at_least))


@pytest.mark.workloads("bert-imdb")
@pytest.mark.parametrize("trainer", ["huggingface"], indirect=True)
def test_training(case, trainer, measure, judge):
    judge(measure.training_parity(case, trainer, NOT_SLOWER))
