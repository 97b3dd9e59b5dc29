"""What the user lets pass, and the caps that follow from mode and workload."""

import math
import re
import tomllib
from functools import partial
from pathlib import Path

import pytest

from mpcore.gate import Caps, PolicyError, load_policy
from mpcore.gate.limits import (
    COMPILE_TIME_MARGIN_PERCENT,
    ERROR_CAP,
    ERROR_MARGIN_FACTOR,
    FLUSHED_SHARE_CAP,
    FP32_WHOLE_ROUNDINGS,
    MEMORY_MARGIN_PERCENT,
    PAIR_BLIND_PERCENT,
    PAIR_MEMORY_MARGIN_PERCENT,
    PAIR_TIME_MARGIN_PERCENT,
    STEP_TIME_MARGIN_PERCENT,
    UPDATE_ERROR_CAP,
    WHOLE_ROUNDINGS,
)
from mpcore.measure.requirements import explained_by_rounding, numerics_limits
from mpcore.records import Requirements

GUIDE = Path(__file__).parents[2] / "docs" / "gate-a-merge.md"


def limits(roundoff=1e-4, conditioning=64, *, masters=True, scales=True):
    return numerics_limits(roundoff, conditioning, masters=masters, scales=scales)


def test_a_coarser_format_may_err_more():
    fine, coarse = limits(2.0**-11), limits(2.0**-8)
    assert coarse.loss_error == pytest.approx(8 * fine.loss_error)
    assert coarse.gradient_error == pytest.approx(8 * fine.gradient_error)


def test_conditioning_widens_the_gradient_and_not_the_loss():
    well, ill = limits(conditioning=16), limits(conditioning=512)
    assert ill.gradient_error == pytest.approx(32 * well.gradient_error)
    assert ill.loss_error == well.loss_error


def test_kinks_widen_the_gradient_by_the_root_of_the_roundoff():
    assert numerics_limits(1e-4, 64, 2.0, masters=True, scales=True).gradient_error == pytest.approx(64e-4 + 2e-2)


def test_no_limit_is_ever_wider_than_half():
    widest = limits(0.1, 1000)
    assert (widest.loss_error, widest.gradient_error, widest.update_error) == (ERROR_CAP, ERROR_CAP, ERROR_CAP)


def test_rounding_explains_more_of_all_gradients_up_to_half(dots):
    explained = partial(explained_by_rounding, workload=dots, roundoff=2**-8, rows=16)
    assert explained(0.1) == pytest.approx(WHOLE_ROUNDINGS * 0.1)
    assert explained(1.0) == ERROR_CAP


def test_in_fp32_sums_are_rounded_too(dots):
    assert explained_by_rounding(1e-6, dots, 2**-24, 16) == pytest.approx(FP32_WHOLE_ROUNDINGS * 1e-6)


def test_rounding_explains_nothing_where_the_author_says_the_conditioning(dots, monkeypatch):
    monkeypatch.setattr(type(dots), "conditioning", 512.0)
    assert explained_by_rounding(1.0, dots, 2**-8, dots.numerics_rows["tiny"]) == 0.0


def test_what_the_author_says_is_not_of_fewer_samples(dots, monkeypatch):
    """Of eight reviews of a BERT the gradients cancelled eight times as far as of sixteen: FP32 was 1.3e-5 off."""
    monkeypatch.setattr(type(dots), "conditioning", 512.0)
    assert explained_by_rounding(0.1, dots, 2**-8, dots.numerics_rows["tiny"] - 1) == pytest.approx(WHOLE_ROUNDINGS * 0.1)


def test_updates_have_a_floor():
    assert limits(1e-12).update_error == UPDATE_ERROR_CAP


def test_updates_may_err_twice_as_much_as_gradients():
    assert limits(1e-3, 64).update_error == pytest.approx(2 * limits(1e-3, 64).gradient_error)


def test_without_masters_updates_have_no_limit():
    assert limits(masters=False).update_error is None


@pytest.mark.parametrize(("scales", "limit"), [(True, FLUSHED_SHARE_CAP), (False, None)])
def test_flushing_is_limited_where_the_loss_is_scaled(scales, limit):
    assert limits(scales=scales).flushed_share == limit


@pytest.fixture
def pyproject(tmp_path):
    path = tmp_path / "pyproject.toml"

    def pyproject(text):
        path.write_text(text)
        return path

    return pyproject


def test_without_settings_graphs_have_a_margin_and_cpus_none(tmp_path):
    margins = load_policy(tmp_path / "pyproject.toml").margins("bert-imdb-fp32-graph-full")
    assert margins.time("graph") == pytest.approx(math.log(1.0125))
    assert margins.time("cpu") is None
    assert (margins.memory, margins.points, margins.errors) == (1.0, None, 1.5)


@pytest.mark.parametrize("how", ["graph", "cpu"])
def test_a_margin_for_steps_is_for_all_but_eager_ones(tmp_path, how):
    margins = load_policy(tmp_path / "pyproject.toml", ["step-time=5"]).margins("bert-imdb-fp32-eager-full")
    assert margins.time(how) == pytest.approx(math.log(1.05))
    assert margins.time("eager") is None


def test_margins_are_those_of_the_table_and_of_the_cases_that_fit(pyproject):
    path = pyproject("""
        [tool.mpcore.margins]
        step-time = 2
        memory = 3.0
        [tool.mpcore.margins."bert-*-fp16-*"]
        step-time = 5.0
        points = 2.0
    """)
    policy = load_policy(path)
    bert, resnet = (policy.margins(f"{name}-fp16-amp-graph-full") for name in ("bert-imdb", "resnet50"))
    assert (bert.step_time, bert.memory, bert.points) == (5.0, 3.0, 2.0)
    assert (resnet.step_time, resnet.memory, resnet.points) == (2.0, 3.0, None)


@pytest.mark.parametrize("how", ["graph", "eager", "cpu"])
def test_pairs_have_margins_of_their_own(pyproject, how):
    path = pyproject("""
        [tool.mpcore.margins]
        step-time = 9
        memory = 9
        [tool.mpcore.margins."bert-*"]
        pair-time = 3
        pair-memory = 2.5
    """)
    policy = load_policy(path)
    bert, resnet = policy.margins("bert-imdb-x"), policy.margins("resnet50-x")
    assert (bert.pair_time_percent(how), bert.pair_memory) == (3.0, 2.5)
    assert (resnet.pair_time_percent(how), resnet.pair_memory) == (PAIR_TIME_MARGIN_PERCENT[how], PAIR_MEMORY_MARGIN_PERCENT)
    assert load_policy(path, ["pair-time=4"]).margins("bert-imdb-x").pair_time == 4.0


def test_caps_take_the_place_of_computed_limits(pyproject):
    path = pyproject("""
        [tool.mpcore.caps]
        gradient-error = 0.3
        [tool.mpcore.caps."bert-*"]
        update-error = 0.4
        flushed-share = 0
    """)
    policy = load_policy(path, ["step-time=4"])
    assert policy.caps("resnet50-x") == Caps(gradient_error=0.3)
    assert policy.caps("bert-x") == Caps(gradient_error=0.3, update_error=0.4, flushed_share=0.0)
    assert policy.margins("bert-x").step_time == 4.0


def test_a_cap_limits_no_error_that_a_mode_is_known_for():
    computed = Requirements(loss_error=0.1, gradient_error=0.2, update_error=None, update_noise=0.01)
    capped = Caps(gradient_error=0.3, update_error=0.4).over(computed)
    assert capped == Requirements(loss_error=0.1, gradient_error=0.3, update_error=None, update_noise=0.01)


def test_patterns_that_fit_no_case_are_told(pyproject):
    path = pyproject("""
        [tool.mpcore.margins."bert-*"]
        memory = 2
        [tool.mpcore.margins."resnet-*-b8"]
        memory = 2
        [tool.mpcore.margins."no-such-*"]
        memory = 2
        [tool.mpcore.caps."no-such-*"]
        loss-error = 0.1
        [tool.mpcore.caps."nor-this"]
        loss-error = 0.1
    """)
    policy = load_policy(path, ["gone:memory=3"])
    assert policy.unused_patterns(["bert-x", "resnet-x"]) == ["no-such-*", "gone", "nor-this"]


def test_options_go_before_the_table(pyproject):
    path = pyproject("[tool.mpcore.margins]\nstep-time = 2\nerrors = 3")
    policy = load_policy(path, ["step-time=4", "resnet*:memory=7"])
    assert policy.margins("bert-imdb-x").model_dump(exclude_unset=True) == {"step_time": 4.0, "errors": 3.0}
    assert policy.margins("resnet50-x").memory == 7.0


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("step-time", "expected METRIC=VALUE or CASES:METRIC=VALUE"),
        ("=3", "expected METRIC=VALUE or CASES:METRIC=VALUE"),
        (
            "speed=3",
            "there is no margin 'speed': expected one of step-time, memory, compile-time, points, errors, updates, pair-time, "
            "pair-memory, pair-blind",
        ),
        ("eager-time=50", "there is no margin 'eager-time'"),
        ("pair-time=0", "greater than 0"),
        ("step-time=fast", "step-time is 'fast'"),
        ("step-time=-1", "greater than 0"),
        ("errors=1", "greater than 1"),
        ("memory=nan", "finite"),
    ],
)
def test_an_option_that_is_no_margin_is_one_sentence(tmp_path, option, said):
    with pytest.raises(PolicyError) as caught:
        load_policy(tmp_path / "none.toml", [option])
    assert str(caught.value).startswith(f"--mp-margin {option!r}: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[tool.mpcore", "cannot read"),
        ("[tool.mpcore]\nmargin = 3", "expected tables 'margins' and 'caps', nothing else"),
        ("[tool]\nmpcore = 3", "expected tables 'margins' and 'caps', nothing else"),
        ("[tool.mpcore]\nmargins = 3", "tool.mpcore.margins is 3: expected a table"),
        ("[tool.mpcore]\ncaps = 3", "tool.mpcore.caps is 3: expected a table"),
        ("[tool.mpcore.margins]\ntime = 3", "there is no margin 'time'"),
        ('[tool.mpcore.margins."bert-*"]\nstep-time = "x"', "step-time is 'x'"),
        (
            "[tool.mpcore.caps]\nerrors = 3",
            "there is no cap 'errors': expected one of loss-error, gradient-error, update-error, flushed-share",
        ),
        ('[tool.mpcore.caps."bert-*"]\nloss-error = -1', "loss-error is -1: Input should be greater than or equal to 0"),
    ],
)
def test_a_table_that_is_none_is_one_sentence(pyproject, text, said):
    path = pyproject(text)
    with pytest.raises(PolicyError) as caught:
        load_policy(path)
    assert str(path) in str(caught.value)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_defaults_that_the_guide_shows_are_those_of_graphs():
    (shown,) = re.findall(r"```toml\n(\[tool\.mpcore\.margins\].*?)```", GUIDE.read_text(), re.DOTALL)
    assert {name: value for name, value in tomllib.loads(shown)["tool"]["mpcore"]["margins"].items() if "*" not in name} == {
        "step-time": STEP_TIME_MARGIN_PERCENT,
        "memory": MEMORY_MARGIN_PERCENT,
        "compile-time": COMPILE_TIME_MARGIN_PERCENT,
        "errors": ERROR_MARGIN_FACTOR,
        "pair-time": PAIR_TIME_MARGIN_PERCENT["graph"],
        "pair-memory": PAIR_MEMORY_MARGIN_PERCENT,
        "pair-blind": PAIR_BLIND_PERCENT,
    }
