"""Slow drift over accepted runs, and what is no baseline."""

import pytest
from made import numerics, run, step

from mpcore.gate import Policy, anchors, drifted, judge_run, match_baselines
from mpcore.records import ALL_CASES, Accepted, Check, Result

NAME = "speed:w0-fp16-amp-graph-tiny"


def accepted(*records, day=1, reset=()):
    return run(
        *records,
        datetime=f"2026-01-{day:02}T00:00:00+00:00",
        accepted=Accepted(reason="x", datetime="2026-01-03T00:00:00+00:00", reset=tuple(reset)),
    )


def creeping(share, count, workloads=("w0",)):
    """Accepted runs, each slower than the one before."""
    return [accepted(*(step(10.0 * (1 + share) ** n, workload=w) for w in workloads), day=n + 1) for n in range(count)]


@pytest.mark.parametrize("share", [0.005, 0.01])
def test_drift_does_not_pass_for_ever(share):
    """Ten are kept, and the first among them. Without it, of thirty accepts none is stopped."""
    runs, stopped = creeping(share, 2), None
    for n in range(2, 30):
        new = run(step(10.0 * (1 + share) ** n, workload="w0"), datetime="2026-02-01T00:00:00+00:00")
        if drifted(new, runs, Policy()):
            stopped = n
            break
        runs = [runs[0], *runs[-8:], accepted(step(10.0 * (1 + share) ** n, workload="w0"), day=n + 1)]
    assert stopped is not None
    assert 0.02 < (1 + share) ** stopped - 1 < 0.035
    assert judge_run(new, runs, Policy()).failed == ()  # it is no worse than those that it joins


def test_it_is_said_what_it_is():
    new = run(step(10.4, workload="w0"), datetime="2026-02-01T00:00:00+00:00")
    (regression,) = drifted(new, creeping(0.01, 3), Policy()).values()
    assert regression.sentence.endswith(". That is slow drift since the oldest accepted run")
    assert "+4.0 % from the accepted run" in regression.sentence


def test_what_was_reset_begins_anew():
    runs = [*creeping(0.02, 2), accepted(step(10.4, workload="w0"), day=5, reset=["speed:w0-fp16-amp-graph-tiny"])]
    new = run(step(10.4, workload="w0"), datetime="2026-02-01T00:00:00+00:00")
    assert drifted(new, runs, Policy()) == {}
    assert anchors(runs) == {2}


def test_what_all_cases_share_drifts_too():
    workloads = [f"w{i}" for i in range(40)]
    new = run(*(step(10.18, workload=w) for w in workloads), datetime="2026-02-01T00:00:00+00:00")
    assert set(drifted(new, creeping(0.005, 3, workloads), Policy())) == {ALL_CASES}


def test_one_accepted_run_is_no_anchor():
    """The run is judged against it as it is."""
    assert drifted(run(step(20.0, workload="w0"), datetime="2026-02-01T00:00:00+00:00"), creeping(0.01, 1), Policy()) == {}


def with_check(record, metric, status="failed"):
    check = Check(kind=record.kind, case=record.case.id, metric=metric, status=status, value=1, limit=0, sentence="")
    return Result(record=record, checks=(check,))


def of_case(record):
    return record.model_copy(update={"case": step(1.0).case, "device": "cuda"})


@pytest.mark.parametrize(
    "wrong",
    [
        with_check(of_case(numerics()), "gradient error"),
        with_check(step(5.0), "learning"),
        with_check(step(5.0), "learning", "inconclusive"),
    ],
    ids=["numerics", "learning", "not shown to learn"],
)
def test_a_step_that_computed_something_else_is_no_speed_to_reach(wrong):
    results = (wrong,) if wrong.record.kind == "speed" else (Result(record=step(5.0)), wrong)
    fast = run(results=results, accepted=Accepted(reason="x", datetime="2026-01-03T00:00:00+00:00"))
    match = match_baselines(step(10.0), [fast])
    assert match.accepted == {}
    assert match.other == f"{wrong.checks[0].metric} there is {wrong.checks[0].status}"
    right = accepted(step(10.0), day=2)
    assert list(match_baselines(step(10.0), [fast, right]).accepted) == [1]


def test_what_fails_otherwise_is_a_baseline():
    slow = with_check(step(10.0), "speed-up over fp32")
    assert list(match_baselines(step(10.0), [run(results=(slow,))]).accepted) == [0]
    known = with_check(of_case(numerics()), "update error", "expected_failure")
    assert list(match_baselines(step(10.0), [run(results=(Result(record=step(9.0)), known))]).accepted) == [0]


@pytest.mark.parametrize(("again", "found"), [({"pool_bytes": 100 * 2**30}, set()), ({"pool_bytes": 106 * 2**30}, {NAME})])
def test_drift_is_what_a_second_measurement_says_too(again, found):
    """Of a run whose memory was once more than in accepted runs, and in a fresh process was not."""
    usual = step(10.0, workload="w0", pool_bytes=100 * 2**30)
    runs = [accepted(usual, day=1), accepted(usual, day=2)]
    more = usual.model_copy(update={"pool_bytes": 106 * 2**30})
    new = run(results=(Result(record=more, confirmation=usual.model_copy(update=again)),), datetime="2026-02-01T00:00:00+00:00")
    assert set(drifted(new, runs, Policy())) == found


def test_drift_of_memory_is_said_to_be_from_one_run():
    runs = [accepted(step(10.0, workload="w0", pool_bytes=n * 2**30), day=n - 99) for n in (100, 101)]
    new = run(step(10.0, workload="w0", pool_bytes=102 * 2**30), datetime="2026-02-01T00:00:00+00:00")
    (regression,) = drifted(new, runs, Policy()).values()
    assert "+2.0 % from the 100.000 of the accepted run" in regression.sentence
