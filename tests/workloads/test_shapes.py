"""Random inputs of published shapes."""

import torch

from mpcore.registry import workloads


def test_each_size_of_batch_has_data_of_its_own():
    cpu, shape = torch.device("cpu"), workloads["bert-s128"]("tiny")
    rows = {size: shape.with_batch_size(size).split("train", cpu).rows(slice(4)) for size in (4, 32)}
    alone = workloads["bert-s128"]("tiny").with_batch_size(32)
    assert len(alone.split("train", cpu)) == len(shape.with_batch_size(32).split("train", cpu)) == 64
    assert torch.equal(rows[32]["input_ids"], alone.split("train", cpu).rows(slice(4))["input_ids"])
