import pytest
import torch

from mpcore.precision import precisions
from mpcore.training.evaluation import evaluate
from mpcore.training.step import TrainStep


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
@pytest.mark.parametrize("name", ["fp16-amp", "bf16-amp"])
def test_evaluation_does_not_grow_with_the_casts_that_autocast_keeps(dots, name):
    device = torch.device("cuda")
    step, split = TrainStep(dots, precisions[name](), device), dots.split("test", device)
    evaluate(step, split)
    used = []
    for _ in range(20):
        evaluate(step, split)
        used.append(torch.cuda.memory_allocated())
    assert used[-1] <= used[0]  # less where the tests before left something that was collected meanwhile
