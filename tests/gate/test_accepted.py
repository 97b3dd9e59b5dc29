"""Real runs, judged against each other: what was accepted of one machine was made by the same steps, in other processes on
other GPUs.

`tests/runs` holds eight runs as they were saved in layout 3, and `verdicts.json.gz` what was said of them when that was the
layout: of each against each other, and of each against the three others. A row is status, value, limit and ratio, in six
digits. Times are left out: those of eager steps are judged no more, those of graphs by other priors. All others must agree.
"""

import math
from collections import Counter

import original_runs
import pytest

from mpcore.calibrate.leave_one_out import leave_one_out, wandered
from mpcore.calibrate.runs import KINDS, fit_runs
from mpcore.gate import SHIPPED, Margins, Policy, common_change, judge_run, match_baselines, regressions
from mpcore.gate.limits import (
    GRAPH_MEMORY_NOISE_BYTES,
    POWER_CAP_PRIOR_LOG_SD,
    SHARED_PRIOR_LOG_SD,
    STEADY_PRIOR_LOG_SD,
)
from mpcore.store.convert import converted
from mpcore.store.files import to_run

HARDWARE = ["nvidia-h100-80gb-hbm3", "nvidia-h200"]
JUDGED_OTHERWISE = (" eager time", " step time", "all cases")
TODAY = {"saturated", "inconclusive"}
"""What is said today of trainings that had passed: of three seeds more is asked, for six or nine may follow."""
SAID = original_runs.read(original_runs.VERDICTS)


@pytest.fixture(scope="module", params=HARDWARE)
def hardware(request):
    return request.param


@pytest.fixture(scope="module")
def runs(hardware):
    files = [path for path in original_runs.FILES if path.parent.name == hardware]
    return [to_run(path, converted(original_runs.read(path), SAID["update_noise"].get)) for path in files]


@pytest.fixture(scope="module")
def found(hardware, runs):
    """Rows by record and metric, for each pair and each that is left out."""
    found = {}
    for name in SAID["verdicts"][hardware]:
        *accepted, new = (runs[int(number) - 1] for number in name if number.isdigit())
        found[name] = compared(accepted, new)
    return found


def compared(accepted, run):
    """Rows by record and metric."""
    calibration = SHIPPED[run.machine.hardware.key]
    matches = [match_baselines(result.record, accepted) for result in run.results]
    rows = {}
    for match in matches:
        margins = Margins(points=1.0, updates=SAID["update_noise"][match.record.case.workload])
        rows |= {f"{match.record.name} {found.metric}": row(found) for found in regressions(match, margins, calibration)}
    common = common_change(matches, Margins(), calibration)
    return rows | ({"all cases": row(common)} if common else {})


def row(found):
    """What is saturated is the same, where a loss would not be seen: nobody asked that then."""
    return ["same" if found.status == "saturated" else found.status, found.value, found.limit, found.ratio]


def in_segments(row):
    """What a graph holds may be a segment more today, where that is more than 1 %."""
    status, value, limit, ratio = row
    return [status, value, max(limit, value / ratio + GRAPH_MEMORY_NOISE_BYTES / 2**30), ratio]


def differs(a, b):
    (status, *figures), (other, *others) = a, b
    return status != other or any(
        x is not y and (x is None or y is None or not math.isclose(x, y, rel_tol=1e-5, abs_tol=1e-9))
        for x, y in zip(figures, others, strict=True)
    )


def test_converted_runs_are_judged_against_each_other_as_they_were(hardware, found):
    assert len(found) == 12 + 4
    for name, rows in SAID["verdicts"][hardware].items():
        said, now = ({k: row for k, row in of.items() if not k.endswith(JUDGED_OTHERWISE)} for of in (rows, found[name]))
        said = {key: in_segments(row) if key.endswith(" graph memory") else row for key, row in said.items()}
        assert len(rows) - len(said) in (112, 113), name
        assert now.keys() == said.keys(), name
        assert {key: (now[key], said[key]) for key in said if differs(now[key], said[key])} == {}, name


def test_no_error_and_no_memory_of_a_step_is_worse_than_in_another_run(found):
    pairs = [rows for name, rows in found.items() if len(name) == len("1 -> 2")]
    repeats = (" gradient error", " update error", "-full memory")
    statuses = [status for rows in pairs for key, (status, *_) in rows.items() if key.endswith(repeats)]
    assert (set(statuses), len(statuses)) == ({"same"}, 12 * 56 * 3)


def test_converted_runs_reach_what_they_reached(runs):
    """What must be reached was rebuilt from the verdicts, and is judged again."""
    for run in runs:
        again = judge_run(run, [], Policy())
        for before, after in zip(run.results, again.results, strict=True):
            if before.record.kind != "drift":  # which has no verdict of its own in that layout
                assert [(c.metric, c.value) for c in after.checks] == [
                    (c.metric, pytest.approx(c.value)) for c in before.checks
                ]
                for then, now in zip(before.checks, after.checks, strict=True):
                    assert now.status in {then.status} | (TODAY if then.status == "passed" else set())


# Times, leave one out: of 436 and 1308 verdicts on two kinds of GPU


@pytest.mark.parametrize(("accepted", "most"), [(3, 0.03), (2, 0.04), (1, 0.08)])
def test_of_runs_of_one_code_few_times_are_undecided_and_none_is_worse(runs, accepted, most):
    times, together = leave_one_out(runs, SHIPPED[runs[0].machine.hardware.key], accepted)
    assert (times["worse"], times["better"]) == (0, 0)
    assert times["undecided"] <= most * 1.1 * times.total()  # each kind; both together are held to `most` in the docs
    assert set(together) == {"same"}


def test_what_these_runs_say_of_themselves_is_what_is_assumed(hardware, runs):
    found = fit_runs(runs)
    assert found.left_out == ()
    assert found.calibration.steady_log_sd <= STEADY_PRIOR_LOG_SD
    assert found.calibration.power_cap_log_sd <= POWER_CAP_PRIOR_LOG_SD
    assert found.calibration.shared_log_sd == SHARED_PRIOR_LOG_SD
    kept = KINDS[hardware]
    assert found.noise.steady == pytest.approx(kept.steady, abs=6e-6)
    assert found.noise.capped == pytest.approx(kept.capped, abs=6e-6)
    assert found.noise.shared == pytest.approx(kept.shared, abs=6e-6)


@pytest.mark.parametrize(("accepted", "undecided"), [(3, 0.1), (2, 0.16), (1, 0.32)])
def test_where_clocks_wander_nothing_is_worse_without_a_cause(runs, accepted, undecided):
    found = Counter()
    for most, seed in ((0.01, 0), (0.02, 1), (0.03, 2), (0.03, 3)):
        off = wandered(runs, most, seed)
        times, together = leave_one_out(off, fit_runs(off).calibration, accepted)
        assert (times["worse"], together["worse"]) == (0, 0), (most, seed)
        found += times
    assert found["undecided"] <= undecided * found.total()


def test_a_real_change_is_worse(found):
    """U-Net in FP32 took 6.7 and 11.8 % more from one version to the next."""
    rows = {name: rows["speed:unet-membrane-fp32-graph-full step time"] for name, rows in found.items()}
    assert [status for status, *_ in rows.values()].count("worse") >= 3
