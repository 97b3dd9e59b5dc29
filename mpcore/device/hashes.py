"""Whether tensors are equal bit for bit, without sending them around."""

import hashlib
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

PIECE = 2**22
"""Bytes that a GPU adds up at once. Their factors and products take 64 MiB."""


def hash_of(tensors: Iterable[Tensor]) -> str:
    """SHA-256 of their bytes in their order; of a sharded one those that are here. Waits for the device. On a GPU it is of
    `sums` in place of bytes, which would have to be copied to the host, and hashed there as slowly."""
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
    generator = torch.Generator(octets.device).manual_seed(0)
    factors = torch.empty(min(octets.numel(), PIECE), dtype=torch.int64, device=octets.device)
    factors.random_(torch.iinfo(torch.int64).min, None, generator=generator)
    pieces = octets.split(PIECE)
    return torch.stack([(piece * factors[: piece.numel()]).sum() for piece in pieces]).tolist()
