import pytest

from mpcore.records import Case
from mpcore.report.alike import named_once, said_once

MODES = ("fp32", "tf32", "fp16-amp")
HELD = "{}: the graph holds {} GiB in {}, {} % from the {} of the last accepted run. The margin is 1 %"


def case(precision, workload="unet", **changes):
    return Case(workload=workload, precision=precision, size="full", execution="graph", **changes)


CASES = [case(mode) for mode in MODES]


def once(*sentences, metric="memory", cases=CASES):
    return said_once([(of, metric, sentence) for of, sentence in zip(cases, sentences, strict=False)], CASES)


def test_the_figures_of_a_workload_are_one_range():
    figures = [
        ("104.531", "fp32", "-2.8", "107.592"),
        ("13.266", "tf32", "-2.9", "13.666"),
        ("6.951", "fp16-amp", "-2.5", "7.131"),
    ]
    assert once(*(HELD.format("unet", held, mode, change, then) for held, mode, change, then in figures)) == [
        HELD.format("unet", "6.951 to 104.531", "all 3 modes", "-2.9 to -2.5", "7.131 to 107.592")
    ]


def test_modes_that_are_not_all_are_named():
    assert once("unet: a step of fp32 has 4 casts", "unet: a step of tf32 has 1,200 casts") == [
        "unet: a step of fp32 and tf32 has 4 to 1,200 casts"
    ]


def test_a_comma_after_a_figure_is_none_of_it():
    found = once("unet: fp32 has 3, 5 in accepted runs", "unet: tf32 has 4, 6 in accepted runs")
    assert found == ["unet: fp32 and tf32 has 3 to 4, 5 to 6 in accepted runs"]


def test_a_sentence_that_stands_alone_is_as_it_is():
    assert once("unet: a step of fp32 takes 40.60 ms") == ["unet: a step of fp32 takes 40.60 ms"]


def test_an_interval_reaches_from_the_lowest_to_the_highest_bound():
    said = "unet: a step of {} takes {} ms, between {} % and {} % (99 % each)"
    assert once(said.format("fp32", "9", "-0.4", "+1.7"), said.format("tf32", "8", "-0.5", "+2.0")) == [
        said.format("fp32 and tf32", "8 to 9", "-0.5", "+2.0")
    ]
    said = "unet: accuracy of {} is {} points from it (99 % bounds {} and {})"
    assert once(said.format("fp32", "-0.1", "-0.4", "+0.2"), said.format("tf32", "+0.1", "-0.2", "+0.3")) == [
        said.format("fp32 and tf32", "-0.1 to +0.1", "-0.4", "+0.3")
    ]


@pytest.mark.parametrize(
    "others",
    [
        "unet: a step of tf32 takes 8 ms. The clock was 1920 MHz",  # another word
        "unet: a step of tf32 takes 8 ms, as fp32",  # a mode that is not its own
        "unet: a step of tf32 takes 8 ms in torch 2.11.0",
    ],
)
def test_what_differs_in_more_than_figures_stands_apart(others):
    assert once("unet: a step of fp32 takes 9 ms", others) == ["unet: a step of fp32 takes 9 ms", others]


@pytest.mark.parametrize("name", ["torch 2.{}.0", "layer.{}.dense", "{}x8", "fp{}", "cu{}-a", "layer.[{}-11]"])
def test_a_number_in_a_name_is_no_figure(name):
    sentences = [f"unet: {mode} has {name.format(number)}" for mode, number in (("fp32", 3), ("tf32", 4))]
    assert once(*sentences) == sentences


def test_figures_of_another_metric_workload_or_execution_stand_apart():
    assert len({*once("unet: fp32 has 1", metric="a"), *once("unet: fp32 has 2", metric="b")}) == 2
    others = [case("fp32"), case("fp32", "vit"), case("fp32", gpus=2, strategy="ddp")]
    sentences = ["unet: fp32 has 1", "vit: fp32 has 2", "unet: fp32 has 3"]
    assert once(*sentences, cases=others) == sentences


def record(of, kind="speed"):
    return type("Measured", (), {"case": of, "kind": kind})()


def test_workloads_and_kinds_of_which_the_same_is_said_are_named_together():
    cases = [case(mode, workload) for workload in ("a", "b") for mode in MODES]
    found = [(record(of, kind), "other") for kind in ("speed", "numerics") for of in cases]
    assert named_once(found, cases) == ["speed and numerics of a, b (graph-full: all 3 modes): other"]


def test_what_is_said_of_some_is_said_of_no_other():
    cases = [case(mode, workload) for workload in ("a", "b") for mode in MODES]
    found = [(record(of), "") for of in cases[:4]] + [(record(cases[0], "work"), "")]
    assert named_once(found, cases) == [
        "speed of a (graph-full: all 3 modes)",
        "speed of b (graph-full: fp32)",
        "work of a (graph-full: fp32)",
    ]


def test_how_a_step_is_run_is_named():
    cases = [*CASES, case("fp32", batch_size=8)]
    assert named_once([(record(of), "") for of in cases], cases) == [
        "speed of unet (graph-full: all 3 modes)",
        "speed of unet (graph-full-b8: fp32)",
    ]


def test_another_trainer_is_named_with_the_workload():
    by_plain = case("fp32", trainer="plain")
    assert named_once([(record(by_plain), "")], [by_plain]) == ["speed of unet by plain (graph-full: fp32)"]
