"""Random inputs of published shapes."""

import torch

from mpcore.measure import Bench
from mpcore.records import Case
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
            bench.workload(case, pretrained=pretrained).split("train", torch.device(device))
    assert made == ["train"]
