"""Equal bit for bit, or not."""

import pytest
import torch

from mpcore.device.hashes import PIECE, hash_of, sums

NEEDS_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
ON_A_GPU = pytest.param("cuda", marks=[pytest.mark.cuda, NEEDS_GPU])


@pytest.mark.parametrize("device", ["cpu", ON_A_GPU])
def test_one_unit_in_the_last_place_is_another_hash(device):
    tensors = [
        torch.ones(3, device=device),
        torch.zeros((), dtype=torch.bfloat16, device=device),
        torch.arange(4, dtype=torch.int64, device=device).reshape(2, 2).T,
        torch.empty(0, device=device),
    ]
    moved = [tensors[0].clone(), *tensors[1:]]
    assert hash_of(moved) == hash_of(tensors)
    moved[0][1] = torch.nextafter(moved[0][1], torch.tensor(2.0, device=device))
    assert hash_of(moved) != hash_of(tensors)
    assert hash_of(reversed(tensors)) != hash_of(tensors)
    assert hash_of([torch.zeros(1, device=device)]) != hash_of([-torch.zeros(1, device=device)])


def test_sums_tell_where_a_byte_is_in_which_piece_and_which_two_have_changed_places():
    octets = torch.zeros(PIECE + 5, dtype=torch.uint8)
    octets[[0, PIECE, PIECE + 1]] = torch.tensor([1, 2, 3], dtype=torch.uint8)
    first, second = sums(octets)
    octets[[PIECE, PIECE + 1]] = octets[[PIECE + 1, PIECE]]
    swapped = sums(octets)
    assert (swapped[0] == first, swapped[1] == second) == (True, False)
    octets[PIECE - 1] = 255
    assert sums(octets)[0] != first
    assert sums(octets[:0]) == []


@pytest.mark.parametrize("device", ["cpu", ON_A_GPU])
def test_bytes_are_multiplied_by_the_numbers_of_splitmix64(device):
    """As Java's SplittableRandom and the generators of Vigna publish them."""
    factors = [sums(row)[0] % 2**64 for row in torch.eye(4, dtype=torch.uint8, device=device)]
    assert factors == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F, 0xF88BB8A8724C81EC]
