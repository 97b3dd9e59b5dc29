"""Random inputs of published shapes."""

import pytest
import torch

from mpcore.measure import Bench
from mpcore.precision import precisions
from mpcore.records import Case
from mpcore.training.step import TrainStep
from mpcore.workloads.base import workloads
from mpcore.workloads.shapes import Bert128


def test_each_size_of_batch_has_data_of_its_own():
    cpu, shape = torch.device("cpu"), workloads["bert-s128"]("tiny")
    rows = {size: shape.with_batch_size(size).split("train", cpu).rows(slice(4)) for size in (4, 32)}
    alone = workloads["bert-s128"]("tiny").with_batch_size(32)
    assert len(alone.split("train", cpu)) == len(shape.with_batch_size(32).split("train", cpu)) == 64
    assert torch.equal(rows[32]["input_ids"], alone.split("train", cpu).rows(slice(4))["input_ids"])


def test_data_are_made_once_for_all_devices_and_for_trainings(monkeypatch):
    made = []
    data = Bert128.data
    monkeypatch.setattr(Bert128, "data", lambda self, split: made.append(split) or data(self, split))
    bench, case = Bench(torch.device("cpu")), Case(workload="bert-s128", precision="fp32", size="tiny")
    for device in ("cpu", "meta"):
        for pretrained in (False, True):
            bench.setups.workload(case, pretrained=pretrained).split("train", torch.device(device))
    assert made == ["train"]


@pytest.mark.parametrize("name", [name for name in workloads.names() if workloads[name].synthetic])
def test_a_few_steps_learn_it(name, cpu):
    workload = workloads[name]("tiny")
    step = TrainStep(workload, precisions["fp32"](), cpu)
    batches = list(workload.split("train", cpu).batches(workload.recipe.batch_size))
    losses = [step(batches[i % 2]).item() for i in range(50)]
    assert sum(losses[-2:]) < 0.8 * sum(losses[:2])


def test_the_shape_of_llm_c_is_gpt_2_small_with_even_sides_and_no_dropout():
    workload = workloads["gpt2-s1024"]("full")
    with torch.device("meta"):
        model = workload.build_model()
    assert (workload.recipe.batch_size, workload.units_per_sample) == (64, 1024)
    assert model.get_input_embeddings().num_embeddings == 50_304
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(124.4e6, rel=0.001)
    assert {m.p for m in model.modules() if isinstance(m, torch.nn.Dropout)} == {0.0}
    assert {m.attn.attn_dropout.p for m in model.transformer.h} == {0.0}
