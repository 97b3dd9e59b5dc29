"""Real runs, judged against each other: what was accepted of one machine was made by the same steps, in other processes on
other GPUs.

`tests/runs` holds eight runs as they were saved in layout 3, and `verdicts.json.gz` what was said of them when that was the
layout: of each against each other, and of each against the three others. A row is status, value, limit and ratio, in six
digits. Rows of the metric "eager time" are left out: eager times are judged no more. All others must agree.
"""

import gzip
import json
import math
from pathlib import Path

import pytest

from mpcore.gate import Margins, Policy, common_change, judge_run, match_baselines, regressions
from mpcore.store.convert import converted
from mpcore.store.files import to_run

RUNS = Path(__file__).parents[1] / "runs"
HARDWARE = ["nvidia-h100-80gb-hbm3", "nvidia-h200"]
JUDGED_NO_MORE = " eager time"
SAID = json.loads(gzip.decompress((RUNS / "verdicts.json.gz").read_bytes()))


@pytest.fixture(scope="module", params=HARDWARE)
def hardware(request):
    return request.param


@pytest.fixture(scope="module")
def runs(hardware):
    files = sorted((RUNS / hardware).glob("*.json"))
    return [to_run(path, converted(json.loads(path.read_text()), SAID["update_noise"].get)) for path in files]


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
    matches = [match_baselines(result.record, accepted) for result in run.results]
    rows = {}
    for match in matches:
        margins = Margins(points=1.0, updates=SAID["update_noise"][match.record.case.workload])
        rows |= {f"{match.record.name} {found.metric}": row(found) for found in regressions(match, margins)}
    common = common_change(matches, Margins())
    return rows | ({"all cases": row(common)} if common else {})


def row(found):
    return [found.status, found.value, found.limit, found.ratio]


def differs(a, b):
    (status, *figures), (other, *others) = a, b
    return status != other or any(
        x is not y and (x is None or y is None or not math.isclose(x, y, rel_tol=1e-5, abs_tol=1e-9))
        for x, y in zip(figures, others, strict=True)
    )


def test_converted_runs_are_judged_against_each_other_as_they_were(hardware, found):
    assert len(found) == 12 + 4
    for name, rows in SAID["verdicts"][hardware].items():
        now, said = found[name], {key: row for key, row in rows.items() if not key.endswith(JUDGED_NO_MORE)}
        assert len(rows) - len(said) == 56
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
                assert [(c.metric, c.status, c.value) for c in after.checks] == [
                    (c.metric, c.status, pytest.approx(c.value)) for c in before.checks
                ]
