import subprocess
import sys
from abc import ABC, abstractmethod
from typing import ClassVar

import pytest

from mpcore import registry
from mpcore.execution import executions
from mpcore.precision import precisions
from mpcore.registry import Registry, UnknownName
from mpcore.workloads import workloads


class Shape(ABC):
    name: ClassVar[str]
    corners: ClassVar[int]
    colour: ClassVar[str] = "grey"
    size: float

    @abstractmethod
    def area(self): ...


class Regular(Shape):
    """What most need, without a name."""

    corners = 4

    def area(self):
        return 1.0


def shape(title, base=Regular, **attributes):
    return type(title, (base,), attributes)


@pytest.fixture
def shapes():
    shapes = Registry("shape", Shape, lambda cls: "too many corners" if cls.corners > 9 else None)
    for name in ("round", "square", "flat"):
        shapes.register(shape(name.title(), name=name))
    return shapes


def test_names_stand_in_the_order_of_registration(shapes):
    assert shapes.names() == ["round", "square", "flat"]


def test_the_decorator_hands_the_class_back(shapes):
    @shapes.register
    class Oval(Regular):
        name = "oval"

    assert shapes["oval"] is Oval


def test_a_name_that_is_taken_is_refused_with_both_classes(shapes):
    with pytest.raises(ValueError, match=r"two shapes are named 'round': Round and Circle"):
        shapes.register(shape("Circle", name="round"))
    assert shapes["round"].__name__ == "Round"


@pytest.mark.parametrize("attributes", [{}, {"name": ""}, {"name": 3}])
def test_a_class_without_a_name_is_refused(shapes, attributes):
    with pytest.raises(ValueError, match="shape Nameless has no name: expected a class attribute such as name = 'x'"):
        shapes.register(shape("Nameless", **attributes))


def test_an_inherited_name_does_not_count(shapes):
    with pytest.raises(ValueError, match="shape Oval has no name"):
        shapes.register(shape("Oval", base=shapes["round"]))


@pytest.mark.parametrize(
    ("cls", "sentence"),
    [
        (shape("Oval", name="an oval"), "shape 'an oval' cannot be named so: expected a name without spaces, commas,"),
        (shape("Oval", name="a/b"), "shape 'a/b' cannot be named so"),
        (shape("Oval", base=object, name="oval"), "shape 'oval' is a Oval: expected a subclass of Shape"),
        (shape("Oval", base=Shape, name="oval", corners=0), "shape 'oval' lacks the method area"),
        (shape("Oval", base=Shape, name="oval", area=len), "shape 'oval' lacks the attribute corners"),
        (shape("Oval", name="oval", corners=10), "shape 'oval': too many corners"),
    ],
)
def test_a_class_that_cannot_be_used_is_refused_at_once(shapes, cls, sentence):
    with pytest.raises(ValueError, match="shape") as refused:
        shapes.register(cls)
    assert str(refused.value).startswith(sentence)
    assert shapes.names() == ["round", "square", "flat"]


def test_an_unknown_name_lists_the_known_ones(shapes):
    with pytest.raises(UnknownName, match="unknown shape 'oval'; known are round, square, flat"):
        shapes["oval"]


def test_a_check_stops_at_the_first_unknown_name(shapes):
    shapes.check(["flat", "round"])
    with pytest.raises(UnknownName, match="'oval'"):
        shapes.check(["round", "oval", "pointed"])


@pytest.mark.parametrize(("filled", "name"), [(workloads, "bert-imdb"), (workloads, "resnet18-mnist"), (precisions, "fp32")])
def test_importing_the_packages_fills_the_registries(filled, name):
    assert filled[name].name == name


def test_people_s_files_find_the_registries_here():
    assert (registry.workloads, registry.precisions, registry.executions) == (workloads, precisions, executions)
    with pytest.raises(AttributeError, match=r"module 'mpcore\.registry' has no attribute 'shapes'"):
        registry.shapes  # noqa: B018


def test_the_import_lines_of_people_s_files_work():
    """In a process of its own, where nothing else has imported anything."""
    lines = (
        "from mpcore.data import Split",
        "from mpcore.records import Recipe",
        "from mpcore.registry import precisions, workloads",
        "from mpcore.workloads import UNMASKED, Workload, cross_entropy, linear",
        "from mpcore import Precision, Workload as same, register, load",
        "assert same is Workload and 'bert-imdb' in workloads.names() and 'bf16-amp' in precisions.names()",
    )
    subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True, capture_output=True)
