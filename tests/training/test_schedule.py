import pytest

from mpcore.workloads import Workload


def test_the_learning_rate_warms_up_and_ends_at_rest():
    rates = [Workload.schedule(None, step, 100) for step in range(1, 101)]
    assert rates[9] == max(rates) == 1.0
    assert rates[0] == pytest.approx(0.1)
    assert rates[-1] == 0
    assert rates == sorted(rates[:10]) + sorted(rates[10:], reverse=True)
    assert Workload.schedule(None, 1, 1) == 0
