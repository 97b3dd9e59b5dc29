"""What simulated processes report."""

from dataclasses import replace

import numpy as np
import pytest
from synthetic import blocks

from mpcore.calibrate.noise import H200, CaseNoise, Noise, log_medians


@pytest.mark.parametrize("correlation", [0.0, 0.6])
def test_medians_spread_as_their_blocks_and_processes_say(rng, correlation):
    case = CaseNoise("a", blocks=10, block=0.002, correlation=correlation)
    noise = Noise((case,), drift=0.0, process=0.001, machine=0.0)
    logs = log_medians(rng, case, noise, (20000,))
    by_hand = np.std([np.median(blocks(rng, case, noise)) for _ in range(4000)])
    assert logs.std() == pytest.approx(by_hand, rel=0.05)
    assert logs.mean() == pytest.approx(0, abs=1e-4)


def test_odd_processes_come_as_often_and_are_as_far_off_as_they_were(rng):
    noise = replace(H200, odd_shift=-0.05)
    odd = log_medians(rng, CaseNoise("a", blocks=10, block=0.001, correlation=0.0, odd=0.15), noise, (20000,)) < -0.025
    assert odd.mean() == pytest.approx(0.15, abs=0.01)
