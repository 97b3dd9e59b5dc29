"""Equal bit for bit, or not."""

import torch

from mpcore.device.hashes import hash_of


def test_one_unit_in_the_last_place_is_another_hash():
    tensors = [torch.ones(3), torch.zeros((), dtype=torch.bfloat16), torch.arange(4, dtype=torch.int64).reshape(2, 2).T]
    moved = [tensors[0].clone(), *tensors[1:]]
    assert hash_of(moved) == hash_of(tensors)
    moved[0][1] = torch.nextafter(moved[0][1], torch.tensor(2.0))
    assert hash_of(moved) != hash_of(tensors)
    assert hash_of(reversed(tensors)) != hash_of(tensors)
    assert hash_of([torch.tensor(0.0)]) != hash_of([torch.tensor(-0.0)])
