import pytest

from mpcore.policy import ERROR_LIMIT, FLUSHED_LIMIT, UPDATE_LIMIT, numerics_limits


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
