"""What a user imports or subclasses says what it is: each public name of it has a docstring of its own or of its base."""

import inspect
import re

import pytest

import mpcore
from mpcore.adapters import LightningStep, LoopStep, TrainerStep
from mpcore.data import Split
from mpcore.records import Recipe
from mpcore.strategies import Strategy
from mpcore.trainers import Loop
from mpcore.workloads import Group, cross_entropy, linear

SUBCLASSED = [LightningStep, LoopStep, TrainerStep, Split, Recipe, Strategy, Loop, Group]
NAMES = [*(getattr(mpcore, name) for name in mpcore.__all__), *SUBCLASSED, cross_entropy, linear]
INHERITED = {"model_post_init"}
"""Of pydantic."""


def members(public):
    """What a user may call or override, by its qualified name."""
    if not inspect.isclass(public):
        return
    for name, member in inspect.getmembers(public, lambda m: inspect.isroutine(m) or isinstance(m, property)):
        ours = getattr(member.fget if isinstance(member, property) else member, "__module__", None) or ""
        if not name.startswith("_") and name not in INHERITED and ours.startswith("mpcore"):
            yield f"{public.__name__}.{name}", member


@pytest.mark.parametrize("public", NAMES, ids=lambda public: public.__name__)
def test_a_public_name_is_documented(public):
    documented = {public.__name__: inspect.getdoc(public), **{name: inspect.getdoc(member) for name, member in members(public)}}
    assert [name for name, text in documented.items() if not text] == []
    assert [name for name, text in documented.items() if not re.search(r"[.:]\s*$", text.strip().splitlines()[-1])] == []
