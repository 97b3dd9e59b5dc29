"""Is our step faster than what people train with? The same model, data and recipe through a plain PyTorch loop, Lightning
Fabric, Accelerate and transformers' Trainer, launched by Python or compiled by torch. With `--mp-trainer`, any trainer against
theirs.

Run on request, with `-m parity` or by the name of this file: it compares with others, and stops no merge by itself.
"""

import pytest

from mpcore.gate.limits import FASTEST_AT_LEAST, SAME_MODE_AT_LEAST

pytestmark = pytest.mark.parity

TRAINERS = ("plain", "fabric", "accelerate", "huggingface")
WITH_MASTERS = ("bf16-amp", "bf16-manual", "fp16-manual")
"""Our modes with FP32 masters, as autocast has: what BF16 under autocast is compared with."""
NOT_SLOWER = 0.995
"""A training, and a step of another trainer or in another mode, must not be slower by more than half a per cent."""


@pytest.mark.race
@pytest.mark.workloads(
    *("bert-imdb", "bert-s128", "gpt2-text", "gpt2-s1024", "llama-block"),
    *("ncf-movielens", "resnet18-mnist", "resnet50", "unet-membrane", "vit-l-cifar10"),
)
@pytest.mark.precisions("bf16-amp")
def test_step(case, executions, measure, judge):
    if (case.trainer, case.precision) == ("mpcore", "bf16-amp"):
        at_least = {"at_least": FASTEST_AT_LEAST, "same_mode_at_least": SAME_MODE_AT_LEAST}
        judge(measure.race(case, WITH_MASTERS, TRAINERS, executions, **at_least))
    else:
        judge(measure.race(case, [case.precision], TRAINERS, executions, at_least=NOT_SLOWER))


@pytest.mark.workloads("bert-imdb")
@pytest.mark.parametrize("trainer", ["huggingface"], indirect=True)
def test_training(case, trainer, measure, judge):
    judge(measure.training_parity(case, trainer, NOT_SLOWER))
