"""Whether tensors are equal bit for bit, without sending them around."""

import hashlib
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

PIECE = 2**22
"""Bytes that a GPU adds up at once. Their factors and products take 64 MiB."""
GOLDEN, FIRST, SECOND = (number - 2**64 for number in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
"""As numbers with a sign."""


def hash_of(tensors: Iterable[Tensor]) -> str:
    """SHA-256 of their bytes in their order; of a sharded one those that are here. Waits for the device. On a GPU it is of
    `sums` in place of bytes: to copy these to the host and to hash them there takes seconds for each gigabyte."""
    found = hashlib.sha256()
    for tensor in tensors:
        local = tensor.to_local() if isinstance(tensor, DTensor) else tensor
        octets = local.detach().contiguous().reshape(-1).view(torch.uint8)
        found.update(octets.numpy().data if octets.is_cpu else f"{octets.numel()} bytes: {sums(octets)};".encode())
    return found.hexdigest()


def sums(octets: Tensor) -> list[int]:
    """One of each piece: bytes times random numbers, modulo 2^64. Two that differ have the same sum once in 2^56 times (Lemire
    and Kaser, "Strongly universal string hashing is fast", 2014: multilinear hashing)."""
    if not octets.numel():
        return []
    factors = _factors(min(octets.numel(), PIECE), octets.device)
    pieces = octets.split(PIECE)
    return torch.stack([(piece * factors[: piece.numel()]).sum() for piece in pieces]).tolist()


def _factors(count: int, device: torch.device) -> Tensor:
    """Those of SplitMix64 from the seed 0 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014). A
    generator of torch's draws others on a GPU with another number of multiprocessors."""
    numbers = torch.arange(1, count + 1, device=device) * GOLDEN
    numbers = (numbers ^ _shifted(numbers, 30)) * FIRST
    numbers = (numbers ^ _shifted(numbers, 27)) * SECOND
    return numbers ^ _shifted(numbers, 31)


def _shifted(numbers: Tensor, bits: int) -> Tensor:
    """To the right, as if they had no sign."""
    return (numbers >> bits) & (2 ** (64 - bits) - 1)
