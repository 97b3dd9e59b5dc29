import math

import numpy as np
import pytest
from scipy import stats

from mpcore.gate.intervals import (
    Deviation,
    Interval,
    change_of_pairs,
    change_since,
    judged_pairs,
    log_half_width,
    mean_interval,
    odd_pairs,
    pooled_deviation,
    ratio_interval,
    separate_ratio_interval,
)


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


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("ratio", [2.0, 2.1, 1.0])
def test_pairs_that_agree_leave_no_width(ratio):
    case = [1.0, 2.0, 3.0]
    interval = ratio_interval([ratio * s for s in case], case)
    assert (interval.low, interval.centre, interval.high) == pytest.approx((ratio, ratio, ratio))
    change = change_of_pairs(case, [ratio * s for s in case], 0.99)
    assert (change.low, change.centre, change.high) == pytest.approx([math.log(ratio)] * 3)


@pytest.mark.parametrize("pairs", [0, 1])
def test_fewer_than_two_pairs_are_refused(pairs):
    with pytest.raises(ValueError, match=f"at least two pairs of blocks, got {pairs}"):
        ratio_interval([1.0] * pairs, [1.0] * pairs)


def test_blocks_without_a_partner_are_refused():
    with pytest.raises(ValueError, match="shape"):
        ratio_interval([1.0, 2.0, 3.0], [1.0, 2.0])


def test_separate_blocks_have_the_interval_of_welch():
    # with the degrees of freedom of Welch and Satterthwaite, by hand
    reference, case = [2.0, 2.2, 2.1], [1.0, 1.3, 0.9, 1.1, 1.0]
    a, b = np.log(reference), np.log(case)
    u, v = a.var(ddof=1) / 3, b.var(ddof=1) / 5
    half = stats.t.ppf(0.975, (u + v) ** 2 / (u**2 / 2 + v**2 / 4)) * np.sqrt(u + v)
    centre = a.mean() - b.mean()
    interval = separate_ratio_interval(reference, case, 0.95)
    assert (interval.low, interval.high) == pytest.approx((np.exp(centre - half), np.exp(centre + half)))
    assert interval.centre == pytest.approx(stats.gmean(reference) / stats.gmean(case))


def test_separate_blocks_hold_the_truth_as_often_as_they_say(rng):
    truth, trials = 1.5, 1000
    held = 0
    for _ in range(trials):  # neither as many blocks nor as much noise in both
        interval = separate_ratio_interval(truth * rng.lognormal(0, 0.02, 6), rng.lognormal(0, 0.1, 12), 0.95)
        held += interval.low <= truth <= interval.high
    assert held / trials == pytest.approx(0.95, abs=4 * np.sqrt(0.95 * 0.05 / trials))


def test_swapping_separate_sides_inverts_the_interval(rng):
    reference, case = rng.lognormal(0.5, 0.2, 6), rng.lognormal(0, 0.2, 9)
    there, back = separate_ratio_interval(reference, case), separate_ratio_interval(case, reference)
    assert (there.low, there.centre, there.high) == pytest.approx((1 / back.high, 1 / back.centre, 1 / back.low))


@pytest.mark.filterwarnings("error")
def test_separate_blocks_without_any_spread_leave_no_width():
    interval = separate_ratio_interval([2.0] * 3, [1.0] * 5)
    assert (interval.low, interval.centre, interval.high) == pytest.approx((2, 2, 2))


@pytest.mark.filterwarnings("error")
def test_a_spread_of_nothing_but_rounding_leaves_no_width():
    interval = separate_ratio_interval([4.2] * 3, [2.1] * 3)
    assert np.log([2.1] * 3).std() > 0
    assert (interval.low, interval.centre, interval.high) == pytest.approx((2, 2, 2))


@pytest.mark.filterwarnings("error")
def test_one_side_without_spread_leaves_the_width_of_the_other():
    case = [1.0, 1.1, 0.9]
    interval = separate_ratio_interval([2.0, 2.0, 2.0], case)
    assert np.log(interval.high / interval.centre) == pytest.approx(log_half_width(case))


@pytest.mark.parametrize(("theirs", "ours"), [(1, 5), (5, 1), (0, 2)])
def test_fewer_than_two_separate_blocks_are_refused(theirs, ours):
    with pytest.raises(ValueError, match=f"at least two blocks of each, got {theirs} and {ours}"):
        separate_ratio_interval([1.0] * theirs, [1.0] * ours)


@pytest.mark.parametrize("confidence", [0.9, 0.99])
def test_half_a_width_is_that_of_a_t_test_on_the_logarithms(rng, confidence):
    times = rng.lognormal(0, 0.2, 7)
    expected = stats.ttest_1samp(np.log(times), 0).confidence_interval(confidence)
    assert log_half_width(times, confidence=confidence) == pytest.approx((expected.high - expected.low) / 2)


def test_half_a_width_of_pairs_is_that_of_their_interval(rng):
    reference, case = rng.lognormal(0.5, 0.2, 6), rng.lognormal(0, 0.2, 6)
    interval = ratio_interval(reference, case)
    assert log_half_width(case, reference) == pytest.approx(np.log(interval.high / interval.centre))


def test_times_that_agree_have_no_width():
    assert log_half_width([2.0, 2.0, 2.0]) == 0
    assert log_half_width([2.0, 4.0], [1.0, 2.0]) == 0


@pytest.mark.parametrize("times", [[], [1.0]])
def test_fewer_than_two_times_have_no_end_of_width(times):
    assert log_half_width(times) == np.inf
    assert log_half_width(times, times) == np.inf


def test_a_change_since_accepted_runs_is_a_prediction_interval():
    """Of a new figure by Student's t, where the prior counts for nothing beside the runs."""
    accepted = np.exp(np.random.default_rng(0).normal(0.0, 0.01, 5000)).tolist()
    change = change_since(accepted, 1.05, prior=0.01)
    assert change.centre == pytest.approx(math.log(1.05), abs=1e-3)
    assert change.high - change.centre == pytest.approx(2.33 * 0.01, rel=0.03)
    assert change.centre - change.low == pytest.approx(change.high - change.centre)


def test_the_prior_speaks_where_runs_are_few():
    wide, narrow = (change_since([1.0], 1.0, prior) for prior in (0.02, 0.01))
    assert wide.high == pytest.approx(2 * narrow.high)
    assert narrow.high == pytest.approx(2.764 * 0.01 * math.sqrt(2), rel=1e-3)  # t of 10 degrees of freedom


def test_a_change_of_pairs_is_a_t_interval():
    base, head = [1.0, 1.1, 0.9, 1.0], [1.02, 1.11, 0.93, 1.01]
    change = change_of_pairs(base, head, 0.995)
    reference = stats.ttest_1samp(np.log(np.array(head) / np.array(base)), 0).confidence_interval(0.99)
    assert (change.low, change.high) == pytest.approx((reference.low, reference.high))


def test_that_pairs_are_the_same_takes_less_than_that_they_are_worse():
    base, head = [1.0] * 6, [1.0, 1.004, 0.998, 1.003, 0.997, 1.001]
    change, status = judged_pairs(base, head, 0.995, 0.005)
    assert change == change_of_pairs(base, head, 0.995)
    assert change.high > 0.005 > change_of_pairs(base, head, 0.95).high
    assert status == "same"
    slower = [1.006 * h for h in head]
    assert change_of_pairs(base, slower, 0.95).low > 0.004
    assert judged_pairs(base, slower, 0.995, 0.004)[1] == "undecided"


QUIET = [1.0, 1.001, 0.999, 1.0005, 0.9995, 1.0]


@pytest.mark.parametrize(
    ("odd", "status"),
    [
        ({0: 0.95}, "same"),
        ({0: 0.95, 3: 1.05}, "same"),
        ({0: 1.05, 3: 1.05, 4: 0.95}, "undecided"),  # more than a third
        ({0: 1.015}, "undecided"),  # not far enough
    ],
)
def test_odd_pairs_are_set_aside_a_third_at_most(odd, status):
    head = [odd.get(n, ratio) for n, ratio in enumerate(QUIET)]
    assert judged_pairs([1.0] * 6, head, 0.995, 0.005)[1] == status


def test_among_pairs_that_all_differ_none_is_odd():
    assert not odd_pairs(np.array([0.0, 0.01, -0.01, 0.006, -0.006, 0.05])).any()


def test_a_head_that_is_odd_more_often_is_not_the_same():
    base, slow = [1.0] * 12, [1.05 if n < 3 else ratio for n, ratio in enumerate(2 * QUIET)]
    assert judged_pairs(base, slow, 0.995, 0.005)[1] == "undecided"
    assert judged_pairs(slow, base, 0.995, 0.005)[1] == "same"


@pytest.mark.parametrize(("function", "arguments"), [(change_since, ([], 1.0, 0.01)), (change_of_pairs, ([1.0], [1.0], 0.99))])
def test_too_few_are_refused(function, arguments):
    with pytest.raises(ValueError, match="at least"):
        function(*arguments)


@pytest.mark.parametrize(
    ("low", "high", "status"),
    [
        (0.011, 0.02, "worse"),
        (-0.02, -0.011, "better"),
        (-0.005, 0.005, "same"),
        (-0.02, 0.009, "same"),
        (0.005, 0.02, "undecided"),
        (-0.02, 0.02, "undecided"),
    ],
)
def test_an_interval_is_judged_against_a_margin(low, high, status):
    assert Interval(low, (low + high) / 2, high).judged(0.01) == status


def test_a_deviation_is_pooled_around_the_mean_of_each_group():
    deviation = pooled_deviation([[1.0, 3.0], [10.0, 10.0, 13.0]])
    assert (deviation.freedom, deviation.value) == (3, pytest.approx(math.sqrt((2 + 6) / 3)))


def test_a_mean_has_bounds_from_what_is_known_of_all():
    bounds = mean_interval([1.0, 2.0, 3.0], Deviation(1.0, 30), 0.95)
    assert (bounds.centre, bounds.low) == (2.0, pytest.approx(2 - 1.697 / math.sqrt(3), abs=1e-3))
    assert mean_interval([1.0], pooled_deviation([[1.0]])).low == -math.inf
