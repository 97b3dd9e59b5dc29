import math

import pytest

from mpcore.kernels.bound import bound
from mpcore.records import FailedTest, Result, Speed
from mpcore.report.frame import RUN, frame
from mpcore.report.rows import COLUMNS, KEYS, parity_rows, rows


def found(of, workload, precision):
    """The row of a case."""
    return next(row for row in of if (row["workload"], row["precision"]) == (workload, precision))


@pytest.fixture
def graphs(full):
    return {row["precision"]: row for row in rows(full)}


def values(of, column):
    return [row[column] for row in of]


def test_each_case_has_one_row_in_the_order_of_appearance(results):
    assert [(row["workload"], row["precision"]) for row in rows(results)] == [
        ("bert-imdb", "fp32"),
        ("bert-imdb", "fp16-amp"),
        ("resnet18-mnist", "fp32"),
        ("resnet18-mnist", "fp16-pure"),
    ]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("batch_size", 32),
        ("step_ms", 125),
        ("per_second", 256),
        ("over_fp32", 2),
        ("over_tf32", 1.5),
        ("peak_gib", 1),
        ("train_s", 10.5),
        ("trained_per_second", (200 * 32 / 10 + 200 * 32 / 11) / 2),
        ("evaluation_s", 1.5),
        ("seeds", 2),
        ("score", 80.5),
        ("score_sd", math.sqrt(4.5)),
        ("points", -0.5),
        ("metric:precision", 0.5),
        ("metric:recall", 0.25),
        ("metric:f1", 0.125),
        ("loss_error", 0.002),
        ("gradient_error", 0.5),
        ("update_error", 0.03),
        ("flushed_share", 0),
        ("low_precision_share", 0.75),
    ],
)
def test_a_figure_is_in_the_unit_of_its_column(results, column, value):
    assert found(rows(results), "bert-imdb", "fp16-amp")[column] == pytest.approx(value)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("step_ms", 19.214),
        ("eager_ms", 29.714),
        ("over_fp32", 87.412 / 19.214),
        ("over_tf32", 30.118 / 19.214),
        ("tflops", 6 / 0.019214),
        ("ceiling_pct", 100 * 6 / 0.019214 / 700),
        ("joules", 500 * 0.019214),
        ("peak_gib", 10),
        ("reserved_gib", 12),
        ("pool_gib", 8),
    ],
)
def test_a_figure_of_a_graph_is_in_the_unit_of_its_column(graphs, column, value):
    assert graphs["fp16-amp"][column] == pytest.approx(value)


@pytest.mark.parametrize(("column", "value"), [("casts", 98), ("launches", 1234), ("saved_gib", 0.25)])
def test_what_a_step_does_stands_in_the_row_of_its_case(run, full, counted, column, value):
    of = {row["precision"]: row for row in rows(counted(full))}
    assert (len(of), of["fp16-amp"][column], of["fp16-amp"]["step_ms"]) == (9, value, pytest.approx(19.214))
    assert frame([run.model_copy(update={"results": tuple(counted(full))})])[column].tolist() == [value] * 9


def test_a_case_that_was_only_counted_has_a_row(results, counted):
    alone = rows(counted(results)[len(results) :])
    assert [(row["workload"], row["casts"], row["launches"], row["step_ms"], row["batch_size"]) for row in alone] == [
        ("bert-imdb", 98, None, None, 32),
        ("bert-imdb", 98, None, None, 32),
        ("resnet18-mnist", 98, None, None, 64),
    ]


def test_each_row_of_a_speed_says_why(full, graphs):
    speeds = {r.record.case.precision: r.record for r in full if r.record.kind == "speed"}
    assert {mode: row["why"] for mode, row in graphs.items()} == {mode: bound(speed) for mode, speed in speeds.items()}


@pytest.mark.parametrize(
    ("workload", "precision", "column"),
    [
        ("bert-imdb", "fp32", "over_fp32"),  # it was not timed against itself
        ("bert-imdb", "fp32", "eager_ms"),  # an eager step is the step itself
        ("bert-imdb", "fp32", "ceiling_pct"),
        ("bert-imdb", "fp32", "joules"),
        ("bert-imdb", "fp32", "pool_gib"),
        ("resnet18-mnist", "fp32", "peak_gib"),
        ("resnet18-mnist", "fp32", "reserved_gib"),
        ("resnet18-mnist", "fp32", "score"),
        ("resnet18-mnist", "fp32", "trained_per_second"),
        ("resnet18-mnist", "fp16-pure", "step_ms"),
        ("resnet18-mnist", "fp16-pure", "why"),  # nothing was timed
        ("resnet18-mnist", "fp16-pure", "score_sd"),  # of one seed
        ("resnet18-mnist", "fp16-pure", "points"),  # fp32 was not trained
        ("resnet18-mnist", "fp16-pure", "gradient_error"),
    ],
)
def test_what_was_not_measured_is_missing(run, results, workload, precision, column):
    assert found(rows(results), workload, precision)[column] is None
    table = frame([run]).set_index(["workload", "precision"])
    assert table[column].isna()[(workload, precision)]


def test_what_was_measured_and_is_no_number_is_infinite(results, lost):
    of = rows(lost(results))
    row = found(of, "bert-imdb", "fp16-amp")
    assert [row[name] for name in ("score", "gradient_error", "update_error")] == [math.inf] * 3
    assert values(of, "points") == [None] * 4


def test_fp32_is_no_points_from_itself(results):
    assert found(rows(results), "bert-imdb", "fp32")["points"] == 0


def test_a_failure_names_its_metrics(results):
    assert values(rows(results), "verdict") == ["ok", "failed", "ok", "ok"]
    assert values(rows(results), "failed") == ["", "gradient error", "", ""]


def test_all_metrics_that_failed_are_named(results, worsened):
    assert values(rows(worsened(results, "accuracy", "accuracy", known=False)), "failed") == [
        "",
        "accuracy, gradient error",
        "",
        "",
    ]


def test_what_a_mode_is_known_for_is_no_failure(results, worsened):
    of = rows(worsened([r for r in results if r.passed], "accuracy", "accuracy", known=True))
    assert values(of, "verdict") == ["ok", "known", "ok", "ok"]
    assert values(of, "failed") == ["", "", "", ""]


def test_a_test_that_failed_before_it_had_a_record_fails_its_case(results):
    timed = [r for r in results if isinstance(r.record, Speed) and r.passed]
    case = timed[0].record.case
    test = FailedTest(test="test_numerics.py::test_numerics[x]", name=f"numerics:{case.id}", sentence="it is not finite")
    first, *others = rows(timed, [test])
    assert (first["verdict"], first["failed"]) == ("failed", "numerics")
    assert set(values(others, "verdict")) == {"ok"}


def test_a_test_that_failed_though_all_that_was_judged_passed_fails_its_case(results):
    test = FailedTest(test="x", name=f"speed:{results[0].record.case.id}", sentence="its GPU was slow")
    assert rows(results[:1], [test])[0]["failed"] == "speed"


def test_a_test_without_a_case_fails_no_case(results):
    assert rows(results[:1], [FailedTest(test="x", sentence="no")])[0]["verdict"] == "ok"


@pytest.mark.parametrize("backwards", [False, True])
def test_a_failure_counts_more_than_what_is_known(results, worsened, backwards):
    worse = worsened(results, "accuracy", "accuracy", known=True)
    row = found(rows(worse[::-1] if backwards else worse), "bert-imdb", "fp16-amp")
    assert (row["verdict"], row["failed"]) == ("failed", "gradient error")


def test_the_gravest_regression_is_told(full, compared):
    graver = compared(compared(compared(full[:3], "same"), "undecided"), "better")
    assert values(rows(graver), "regression") == ["undecided"]
    assert values(rows(full[:3]), "regression") == [None]


def test_a_failed_drift_fails_the_case_that_it_is_of(full, drifted):
    result = drifted({"fp32": 0.5})
    failed = result.model_copy(
        update={"checks": (full[0].checks[0].model_copy(update={"status": "failed", "metric": "drift"}),)}
    )
    first, *others = rows([*full, failed])
    assert (first["precision"], first["failed"]) == ("fp32", "drift")
    assert set(values(others, "verdict")) == {"ok"}
    assert rows([failed]) == []


def moved(record, **changes):
    return record.model_copy(update={"case": record.case.model_copy(update=changes)})


def test_samples_are_those_seen_by_each_seed_over_its_seconds(results):
    """The last batch of an epoch may be smaller than the others, and a training that diverged is shorter."""
    record = next(r.record for r in results if r.record.kind == "accuracy")
    lengths = [(4 * 23, 10.0), (23, 20.0), (2 * 23, 1.0)]
    trainings = tuple(
        record.trainings[0].model_copy(update={"seed": seed, "steps": steps, "train_seconds": seconds})
        for seed, (steps, seconds) in enumerate(lengths)
    )
    update = {"batch_size": 64, "rows": {"train": 1437, "test": 360}, "trainings": trainings}
    [row] = rows([Result(record=record.model_copy(update=update))])
    assert row["trained_per_second"] == pytest.approx(4 * 1437 / 10)


@pytest.mark.parametrize(
    ("name", "value"), [("execution", "graph"), ("trainer", "fabric"), ("strategy", "ddp"), ("gpus", 2), ("size", "full")]
)
def test_cases_that_differ_in_anything_do_not_share_a_row(results, name, value):
    both = rows([results[0], Result(record=moved(results[0].record, **{name: value}))])
    assert values(both, name)[1] == value
    assert len(both) == 2


def test_the_batch_is_that_of_the_timed_step(results):
    smaller = [r.model_copy(update={"record": r.record.model_copy(update={"batch_size": 8})}) for r in results[-2:]]
    assert values(rows([*results, *smaller]), "batch_size") == [32, 32, 64, 64]
    assert values(rows([*smaller, *results])[:2], "batch_size") == [32, 32]


def test_errors_alone_tell_no_batch_of_the_workload(results):
    of = rows(results[-2:])
    assert values(of, "batch_size") == [None, None]
    assert values(of, "unit") == ["reviews", "reviews"]


def test_the_frame_begins_with_the_run(run):
    table = frame([run, run.model_copy(update={"path": "other.json", "commit": None})])
    assert list(table.columns)[: len(RUN)] == list(RUN)
    assert table.run.tolist() == ["0001_run.json"] * 4 + ["other.json"] * 4
    assert table.loc[0, list(RUN)].tolist()[1:] == [run.datetime, run.commit, "some-gpu", "Some GPU", "2.11.0", False]
    assert table.batch_size.dtype == "Int64"


def test_the_frame_has_the_rows_of_all_cases(run, results):
    table = frame([run])
    for column in ("step_ms", "gradient_error", "points"):
        assert table[column].dropna().tolist() == [row[column] for row in rows(results) if row[column] is not None]


def test_every_column_of_the_frame_is_explained(run):
    import mpcore.report.frame as module

    for column in frame([run]).columns:
        assert column in module.__doc__ or column.startswith("metric:"), column


def test_no_results_make_a_frame_with_all_columns(run):
    for empty in (frame([]), frame([run.model_copy(update={"results": ()})])):
        assert len(empty) == 0
        assert list(empty.columns) == [*RUN, *COLUMNS]


def test_a_comparison_with_another_trainer_is_no_row_of_its_case(results, trainers):
    assert rows([*trainers, *results]) == rows(results)


def test_each_comparison_with_another_trainer_is_a_row_of_its_own(results, trainers):
    of = parity_rows([*results, *trainers])
    assert [[row[name] for name in KEYS] for row in of] == [
        [name, "tiny", "eager", "", "mpcore", "single", 1, "fp16-amp"] for name in ("resnet18-mnist", "bert-imdb")
    ]
    assert values(of, "against") == ["plain PyTorch 2.11.0", "Trainer 5.1.0"]
    assert values(of, "unit") == ["images", "reviews"]
    assert values(of, "ours_ms") == pytest.approx([25, 50])
    assert values(of, "theirs_ms") == pytest.approx([15.625, 100])
    assert values(of, "ratio") == pytest.approx([math.sqrt(0.5 * 0.75), 2])
    assert values(of, "verdict") == ["failed", "ok"]


def test_only_trainings_have_scores_beside_another_trainer(trainers):
    steps, training = parity_rows(trainers)
    assert (steps["ours_pct"], steps["theirs_pct"]) == (None, None)
    assert [training["ours_pct"], training["theirs_pct"]] == pytest.approx([91.25, 91.0])


def test_without_comparisons_there_is_no_row(results):
    assert parity_rows(results) == []
