"""Tensors in whatever a batch is made of."""

from collections import UserDict, namedtuple
from dataclasses import dataclass

import pytest
import torch

from mpcore.data import leaves, mapped, structure

Pair = namedtuple("Pair", ["a", "b"])


@dataclass(frozen=True)
class Frozen:
    x: torch.Tensor
    name: str = "x"


@dataclass
class Nested:
    inner: list
    more: dict


def tensor(value):
    return torch.tensor([float(value)])


TREES = {
    "a tensor": tensor(1),
    "a dict": {"x": tensor(1), "y": 3},
    "a tuple": (tensor(1), tensor(2)),
    "a list": [tensor(1), "text"],
    "a named tuple": Pair(tensor(1), tensor(2)),
    "a frozen dataclass": Frozen(tensor(1)),
    "in each other": Nested([Pair(tensor(1), 2)], {"z": UserDict({"x": tensor(3)}), "none": None}),
}


@pytest.mark.parametrize("tree", TREES.values(), ids=TREES.keys())
def test_each_tensor_is_found_and_replaced_and_all_else_kept(tree):
    before = [leaf.item() for leaf in leaves(tree)]
    other = mapped(tree, lambda leaf: leaf + 10)
    assert type(other) is type(tree)
    assert [leaf.item() for leaf in leaves(other)] == [value + 10 for value in before]
    assert [leaf.item() for leaf in leaves(tree)] == before
    assert structure(other) == structure(tree)


def test_two_structures_differ_by_shapes_formats_places_and_all_else():
    tree = {"x": tensor(1), "n": 3}
    others = [{"x": torch.ones(2), "n": 3}, {"x": tensor(1).half(), "n": 3}, {"y": tensor(1), "n": 3}, {"x": tensor(1), "n": 4}]
    found = {structure(each) for each in [tree, *others, (tensor(1), 3)]}
    assert len(found) == 6
