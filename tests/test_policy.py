import math

import pytest

from mpcore.policy import ERROR_LIMIT, FLUSHED_LIMIT, UPDATE_LIMIT, PolicyError, load_policy, numerics_limits


def limits(roundoff=1e-4, conditioning=64, *, masters=True, scales=True, half_share=0.5):
    return numerics_limits(roundoff, conditioning, masters=masters, scales=scales, half_share=half_share)


def test_a_coarser_format_may_err_more():
    fine, coarse = limits(2.0**-11), limits(2.0**-8)
    assert coarse.loss == pytest.approx(8 * fine.loss)
    assert coarse.gradient == pytest.approx(8 * fine.gradient)


def test_conditioning_widens_the_gradient_and_not_the_loss():
    well, ill = limits(conditioning=16), limits(conditioning=512)
    assert ill.gradient == pytest.approx(32 * well.gradient)
    assert ill.loss == well.loss


def test_no_limit_is_ever_wider_than_half():
    widest = limits(0.1, 1000)
    assert (widest.gradient, widest.update) == (ERROR_LIMIT, ERROR_LIMIT)


def test_updates_have_a_floor():
    assert limits(1e-12).update == UPDATE_LIMIT


def test_updates_may_err_twice_as_much_as_gradients():
    assert limits(1e-3, 64).update == pytest.approx(2 * limits(1e-3, 64).gradient)


def test_without_masters_updates_have_no_limit():
    assert limits(masters=False).update is None


@pytest.mark.parametrize(("scales", "limit"), [(True, FLUSHED_LIMIT), (False, None)])
def test_flushing_is_limited_where_the_loss_is_scaled(scales, limit):
    assert limits(scales=scales).flushed == limit


@pytest.mark.parametrize(("share", "bounds"), [(0.75, (0.75, 1.0)), (0.0, (0.0, 0.0))])
def test_a_mode_without_16_bits_may_do_nothing_in_them(share, bounds):
    assert limits(half_share=share).half_share == bounds


@pytest.fixture
def pyproject(tmp_path):
    path = tmp_path / "pyproject.toml"

    def pyproject(text):
        path.write_text(text)
        return path

    return pyproject


def test_without_settings_graphs_and_eager_steps_have_margins_and_cpus_none(tmp_path):
    margins = load_policy(tmp_path / "pyproject.toml").margins("bert-imdb-fp32-graph-full")
    assert margins.time("step time", "graph") == pytest.approx(math.log(1.0125))
    assert margins.time("eager time", "eager") == pytest.approx(math.log(1.5))
    assert margins.time("step time", "cpu") is None
    assert (margins.memory, margins.points, margins.errors) == (1.0, None, 1.5)


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
        ("speed=3", "there is no margin 'speed': expected one of step-time, eager-time, memory, points, errors"),
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
        ("[tool.mpcore]\nmargin = 3", "expected a table 'margins' and nothing else"),
        ("[tool.mpcore]\nmargins = 3", "expected a table"),
        ("[tool.mpcore.margins]\ntime = 3", "there is no margin 'time'"),
        ('[tool.mpcore.margins."bert-*"]\nstep-time = "x"', "step-time is 'x'"),
    ],
)
def test_a_table_that_is_none_is_one_sentence(pyproject, text, said):
    path = pyproject(text)
    with pytest.raises(PolicyError) as caught:
        load_policy(path)
    assert str(path) in str(caught.value)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
