import pytest

import mpcore.precision  # noqa: F401  registers the classes
from mpcore.registry import Registry, UnknownName, precisions, workloads
from mpcore.workloads import Workload


@pytest.fixture
def shapes():
    registry = Registry("shape")
    for name in ("round", "square", "flat"):
        registry.register(type(name.title(), (), {"name": name}))
    return registry


def test_names_stand_in_the_order_of_registration(shapes):
    assert shapes.names() == ["round", "square", "flat"]


def test_the_decorator_hands_the_class_back():
    registry = Registry("shape")

    @registry.register
    class Round:
        name = "round"

    assert registry["round"] is Round


def test_a_name_that_is_taken_is_refused_with_both_classes(shapes):
    with pytest.raises(ValueError, match=r"two shapes are named 'round': Round and Circle"):
        shapes.register(type("Circle", (), {"name": "round"}))
    assert shapes["round"].__name__ == "Round"


@pytest.mark.parametrize("attributes", [{}, {"name": ""}, {"name": 3}])
def test_a_class_without_a_name_is_refused(shapes, attributes):
    with pytest.raises(ValueError, match="shape Nameless has no name"):
        shapes.register(type("Nameless", (), attributes))


def test_an_inherited_name_does_not_count(shapes):
    with pytest.raises(ValueError, match="shape Oval has no name"):
        shapes.register(type("Oval", (shapes["round"],), {}))


def test_an_unknown_name_lists_the_known_ones(shapes):
    with pytest.raises(UnknownName, match="unknown shape 'oval'; known are round, square, flat"):
        shapes["oval"]


def test_a_check_stops_at_the_first_unknown_name(shapes):
    shapes.check(["flat", "round"])
    with pytest.raises(UnknownName, match="'oval'"):
        shapes.check(["round", "oval", "pointed"])


@pytest.mark.parametrize(("registry", "name"), [(workloads, "bert-imdb"), (workloads, "resnet18-mnist"), (precisions, "fp32")])
def test_importing_the_packages_fills_the_registries(registry, name):
    assert registry[name].name == name


@pytest.mark.parametrize("name", workloads.names())
def test_a_workload_expects_all_of_mixed_precision_or_says_why_not(name):
    workload = workloads[name]
    everything = set(Workload.amp_wins_over)
    named = [set(workload.amp_wins_over), set(workload.eager_amp_wins_over)]
    assert all(names <= everything for names in named)
    assert bool(workload.why_not) is (named != [everything, everything])


@pytest.mark.parametrize("name", workloads.names())
def test_a_model_tells_as_many_classes_as_its_workload_has(name):
    workload = workloads[name]("tiny")
    if not workload.classes:
        pytest.skip("no classification")
    assert workload.build_model().config.num_labels == workload.classes
