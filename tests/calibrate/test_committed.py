"""The page on statistics holds what the command finds in committed runs."""

import re
from pathlib import Path

import pytest

from mpcore.calibrate.leave_one_out import WANDER, leave_one_out, wandering
from mpcore.calibrate.runs import fit_runs, graphs, joined_parts
from mpcore.gate.priors import pace
from mpcore.store import all_accepted

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "explanation" / "statistics.md").read_text()
FILES = {"H100": ("nvidia-h100-80gb-hbm3", 5), "H200": ("nvidia-h200", 9)}
"""The first so many, which the page is about: to accept another run does not make it wrong."""


@pytest.fixture(scope="module")
def committed():
    return {gpu: joined_parts(all_accepted(ROOT / "baselines")[name][:files]) for gpu, (name, files) in FILES.items()}


def stated(gpu):
    """How many runs, and the per cent by accepted runs and how far clocks wander."""
    number, *cells = re.search(rf"\| {gpu}, (\d) runs \| (.+) \| (.+) \|", PAGE).groups()
    return int(number), {accepted: list(map(int, cell.split(", "))) for accepted, cell in zip((3, 1), cells, strict=True)}


@pytest.mark.parametrize("gpu", FILES)
def test_the_page_is_about_as_many_runs(committed, gpu):
    assert fit_runs(committed[gpu]).calibration.runs == stated(gpu)[0]


@pytest.mark.parametrize("gpu", FILES)
@pytest.mark.parametrize("accepted", [3, 1])
@pytest.mark.parametrize("column", range(len(WANDER)))
def test_the_page_has_the_share_of_times_that_are_undecided(committed, gpu, accepted, column):
    times, together = wandering(committed[gpu], WANDER[column], accepted)
    assert times["worse"] + together["worse"] == 0
    assert stated(gpu)[1][accepted][column] == round(100 * times["undecided"] / times.total())


@pytest.mark.parametrize(("gpu", "deviation"), [("H100", 0.0035), ("H200", 0.005)])
def test_without_wander_what_is_undecided_is_at_the_power_limit(committed, gpu, deviation):
    runs, calibration = committed[gpu], fit_runs(committed[gpu]).calibration
    at_the_limit = [name for name, of in graphs(runs).items() if pace(list(of.values())) == "power cap"]
    assert set(leave_one_out(runs, calibration, 3, at_the_limit)[0]) == {"same"}
    assert calibration.power_cap_log_sd == deviation
