import math

import pytest

from mpcore.explain import explain
from mpcore.records import FailedTest, Result, Speed
from mpcore.report.rows import COLUMNS, KEYS, parity_rows, rows


@pytest.fixture
def frame(results):
    return rows(results).set_index(["workload", "precision"])


@pytest.fixture
def graphs(full):
    return rows(full).set_index("precision")


def test_each_case_has_one_row_in_the_order_of_appearance(results):
    cases = rows(results)[["workload", "precision"]].values.tolist()
    assert cases == [
        ["bert-imdb", "fp32"],
        ["bert-imdb", "fp16-amp"],
        ["resnet18-mnist", "fp32"],
        ["resnet18-mnist", "fp16-pure"],
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
        ("half_share", 0.75),
    ],
)
def test_a_figure_is_in_the_unit_of_its_column(frame, column, value):
    assert frame.loc[("bert-imdb", "fp16-amp"), column] == pytest.approx(value)


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
    assert graphs.loc["fp16-amp", column] == pytest.approx(value)


def test_each_row_of_a_speed_says_why(full, graphs):
    speeds = {r.record.case.precision: r.record for r in full if r.record.kind == "speed"}
    assert graphs.why.to_dict() == {precision: explain(speed) for precision, speed in speeds.items()}


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
def test_what_was_not_measured_is_missing(frame, workload, precision, column):
    assert frame[column].isna()[(workload, precision)]


def test_what_was_measured_and_is_no_number_is_infinite(results, lost):
    frame = rows(lost(results)).set_index(["workload", "precision"])
    assert frame.loc[("bert-imdb", "fp16-amp"), ["score", "gradient_error", "update_error"]].tolist() == [math.inf] * 3
    assert frame.points.isna().all()


def test_fp32_is_no_points_from_itself(frame):
    assert frame.points[("bert-imdb", "fp32")] == 0


def test_a_failure_names_its_metrics(frame):
    assert frame.verdict.tolist() == ["ok", "failed", "ok", "ok"]
    assert frame.failed.tolist() == ["", "gradient error", "", ""]


def test_all_metrics_that_failed_are_named(results, worsened):
    frame = rows(worsened(results, "quality", "accuracy", known=False))
    assert frame.failed.tolist() == ["", "accuracy, gradient error", "", ""]


def test_what_a_mode_is_known_for_is_no_failure(results, worsened):
    passed = [r for r in results if r.passed]
    frame = rows(worsened(passed, "quality", "accuracy", known=True))
    assert frame.verdict.tolist() == ["ok", "known", "ok", "ok"]
    assert frame.failed.tolist() == ["", "", "", ""]


def test_a_test_that_failed_before_it_had_a_record_fails_its_case(results):
    timed = [r for r in results if isinstance(r.record, Speed) and r.passed]
    case = timed[0].record.case
    failed = [FailedTest(test=f"benchmarks/test_numerics.py::test_numerics[{case.id}]", sentence="it is not finite")]
    frame = rows(timed, failed).set_index(["workload", "precision"])
    assert (frame.verdict[case.workload, case.precision], frame.failed[case.workload, case.precision]) == ("failed", "numerics")
    assert set(frame.drop((case.workload, case.precision)).verdict) <= {"ok"}


@pytest.mark.parametrize("backwards", [False, True])
def test_a_failure_counts_more_than_what_is_known(results, worsened, backwards):
    worse = worsened(results, "quality", "accuracy", known=True)
    frame = rows(worse[::-1] if backwards else worse).set_index(["workload", "precision"])
    assert frame.verdict[("bert-imdb", "fp16-amp")] == "failed"
    assert frame.failed[("bert-imdb", "fp16-amp")] == "gradient error"


def test_points_are_counted_from_fp32_of_the_same_workload(results):
    results = [r.model_copy(update={"record": moved(r.record)}) for r in results] + results
    points = rows(results).query("workload == 'bert-imdb' and precision == 'fp16-amp'").points
    assert points.tolist() == pytest.approx([-0.5, -0.5])


def moved(record):
    return record.model_copy(update={"case": record.case.model_copy(update={"execution": "graph"})})


def test_samples_are_those_seen_by_each_seed_over_its_seconds(results):
    """The last batch of an epoch may be smaller than the others, and a training that diverged is shorter."""
    record = next(r.record for r in results if r.record.kind == "quality")
    lengths = [(4 * 23, 10.0), (23, 20.0), (2 * 23, 1.0)]
    trainings = tuple(
        record.trainings[0].model_copy(update={"seed": seed, "steps": steps, "train_seconds": seconds})
        for seed, (steps, seconds) in enumerate(lengths)
    )
    update = {"batch_size": 64, "rows": {"train": 1437, "test": 360}, "trainings": trainings}
    frame = rows([Result(record=record.model_copy(update=update))])
    assert frame.trained_per_second.tolist() == pytest.approx([4 * 1437 / 10])


def test_executions_do_not_share_a_row(results):
    both = rows([results[0], Result(record=moved(results[0].record))])
    assert both.execution.tolist() == ["eager", "graph"]


def test_the_batch_is_that_of_the_timed_step(results):
    smaller = [r.model_copy(update={"record": r.record.model_copy(update={"batch_size": 8})}) for r in results[-2:]]
    assert rows([*results, *smaller]).batch_size.tolist() == [32, 32, 64, 64]
    assert rows([*smaller, *results]).query("workload == 'bert-imdb'").batch_size.tolist() == [32, 32]


def test_errors_alone_tell_no_batch_of_the_workload(results):
    frame = rows(results[-2:])
    assert frame.batch_size.isna().all()
    assert frame.unit.tolist() == ["reviews", "reviews"]


def test_no_results_make_a_frame_with_all_columns():
    empty = rows([])
    assert len(empty) == 0
    assert {*KEYS, *COLUMNS, "points", "verdict", "failed"} <= set(empty.columns)


def test_a_comparison_with_another_trainer_is_no_row_of_its_case(results, rivals):
    assert rows([*rivals, *results]).equals(rows(results))


def test_each_comparison_with_another_trainer_is_a_row_of_its_own(results, rivals):
    frame = parity_rows([*results, *rivals])
    assert frame[KEYS].values.tolist() == [[name, "tiny", "eager", "", "fp16-amp"] for name in ("resnet18-mnist", "bert-imdb")]
    assert frame.rival.tolist() == ["plain PyTorch 2.11.0", "Trainer 5.1.0"]
    assert frame.unit.tolist() == ["images", "reviews"]
    assert frame.ours_ms.tolist() == pytest.approx([25, 50])
    assert frame.theirs_ms.tolist() == pytest.approx([15.625, 100])
    assert frame.ratio.tolist() == pytest.approx([math.sqrt(0.5 * 0.75), 2])
    assert frame.verdict.tolist() == ["failed", "ok"]


def test_only_trainings_have_scores_beside_another_trainer(rivals):
    frame = parity_rows(rivals)
    assert frame[["ours_pct", "theirs_pct"]].isna().all(axis=1).tolist() == [True, False]
    assert frame.loc[1, ["ours_pct", "theirs_pct"]].tolist() == pytest.approx([91.25, 91.0])


def test_without_comparisons_there_is_no_row(results):
    assert len(parity_rows(results)) == 0
