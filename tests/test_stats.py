import numpy as np
import pytest
from scipy import stats

from mpcore.stats import ratio_interval


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.mark.parametrize("confidence", [0.9, 0.99])
def test_the_interval_is_that_of_a_paired_t_test_on_the_logarithms(rng, confidence):
    reference, case = rng.lognormal(0.5, 0.2, 12), rng.lognormal(0, 0.2, 12)
    expected = stats.ttest_rel(np.log(reference), np.log(case)).confidence_interval(confidence)
    interval = ratio_interval(reference, case, confidence)
    assert (interval.low, interval.high) == pytest.approx((np.exp(expected.low), np.exp(expected.high)))
    assert interval.centre == pytest.approx(stats.gmean(reference / case))


def test_the_interval_holds_the_truth_as_often_as_it_says(rng):
    truth, trials = 1.5, 2000
    held = 0
    for _ in range(trials):
        machine = rng.lognormal(0, 1, 8)  # what both blocks of a pair share cancels out
        interval = ratio_interval(machine * truth * rng.lognormal(0, 0.1, 8), machine * rng.lognormal(0, 0.1, 8), 0.95)
        held += interval.low <= truth <= interval.high
    # four standard deviations of a binomial share
    assert held / trials == pytest.approx(0.95, abs=4 * np.sqrt(0.95 * 0.05 / trials))


def test_swapping_the_sides_inverts_the_interval(rng):
    reference, case = rng.lognormal(0.5, 0.2, 6), rng.lognormal(0, 0.2, 6)
    there, back = ratio_interval(reference, case), ratio_interval(case, reference)
    assert (there.low, there.centre, there.high) == pytest.approx((1 / back.high, 1 / back.centre, 1 / back.low))


def test_pairs_that_agree_leave_no_width():
    interval = ratio_interval([2.0, 4.0, 6.0], [1.0, 2.0, 3.0])
    assert (interval.low, interval.centre, interval.high) == pytest.approx((2, 2, 2))


@pytest.mark.parametrize("pairs", [0, 1])
def test_fewer_than_two_pairs_are_refused(pairs):
    with pytest.raises(ValueError, match=f"at least two pairs of blocks, got {pairs}"):
        ratio_interval([1.0] * pairs, [1.0] * pairs)


def test_blocks_without_a_partner_are_refused():
    with pytest.raises(ValueError, match="shape"):
        ratio_interval([1.0, 2.0, 3.0], [1.0, 2.0])
