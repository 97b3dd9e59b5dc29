import pytest

from mpcore.gate import expected_seconds
from mpcore.records import Accepted, FailedTest, Scores
from mpcore.report.page.contents import cases_table
from mpcore.report.page.history import history
from mpcore.report.page.newest import groups, newest

ON = "bert-imdb (full, graph) on some-gpu"


def otherwise(run, kind, **changes):
    """An older run of what is not comparable."""
    results = [
        result.model_copy(update={"record": result.record.model_copy(update=changes)})
        for result in run.results
        if result.record.kind == kind
    ]
    return run.model_copy(update={"results": tuple(results), "datetime": "2025-01-01T00:00:00", "path": "older.json"})


@pytest.fixture
def graphs(run, full):
    return run.model_copy(update={"results": tuple(full)})


def test_trainings_on_other_data_stand_apart(graphs):
    older = otherwise(graphs, "accuracy", data="a folder", rows={"train": 8000, "test": 2000})
    found = newest([graphs, older])["some-gpu"]
    assert [len(part) for part in found.comparable()] == [len(graphs.results), len(older.results)]
    labels = [group.label for group in groups({"some-gpu": found.results})]
    assert labels.count(ON) == 2  # of speed and of numerics
    assert sorted(label.removeprefix(ON) for label in labels if label != ON) == [
        f", data {record.data}, rows to train {record.rows['train']:,}, rows to test {record.rows['test']:,}"
        for record in (older.results[0].record, graphs.results[1].record)
    ]


def test_points_are_those_over_the_same_training(graphs):
    lower = Scores(precision="fp32", by_seed=dict.fromkeys(range(3), 0.5))
    both = cases_table(newest([graphs, otherwise(graphs, "accuracy", data="a folder", reference=lower)]))
    modes = len(graphs.results) // 3
    assert both["points over fp32"][:modes] == cases_table(newest([graphs]))["points over fp32"]
    assert both["points over fp32"][modes:] == [pytest.approx(40.07, abs=0.01)] * modes


def test_the_band_is_that_of_comparable_runs(graphs):
    accepted = {"accepted": Accepted(reason="first", datetime="2026-01-03T00:00:00+00:00")}
    other = otherwise(graphs, "speed", workload_version=2).model_copy(update=accepted)
    views = {view.label: view for view in history([graphs.model_copy(update=accepted), other]).views}
    speed = next(r.record for r in graphs.results if r.record.kind == "speed" and r.record.case.precision == "fp16-amp")
    place = "step time of bert-imdb-fp16-amp-graph-full on some-gpu, version"
    view = views[f"{place} {speed.workload_version}"]
    assert view.columns["expected to"] == pytest.approx([1e3 * expected_seconds([speed], None).high], rel=1e-5)
    assert f"{place} 2" in views


def test_a_test_that_failed_before_it_was_judged_is_no_pass(graphs):
    failed = FailedTest(
        test="test_speed.py::test_speed[x]", name="speed:bert-imdb-bf16-amp-graph-full", sentence="its GPU was slow"
    )
    cases = cases_table(newest([graphs.model_copy(update={"failed": (failed,)})]))
    gate = dict(zip(cases["mode"], cases["gate"], strict=True))
    assert gate.pop("bf16-amp") == "failed"
    assert set(gate.values()) == {"ok"}
