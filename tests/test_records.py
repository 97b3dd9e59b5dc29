import json
import math

import pytest
from pydantic import ValidationError

from mpcore.records import Blocks, Case, Divergence, Numerics, Quality, Result, Speed, Training, Verdict

CASE = Case(workload="bert-imdb", precision="bf16-autocast", size="tiny")
SHARED = {"case": CASE, "workload_version": 1, "device": "cpu", "batch_size": 32, "unit": "reviews"}


def speed(**changes):
    fields = {
        "blocks": Blocks(steps=4, seconds=(1.0, 3.0, 2.0)),
        "references": {},
        "peak_allocated_bytes": None,
        "peak_reserved_bytes": None,
        "loss_before": 0.7,
        "loss_after": 0.6,
        "loss_scale": None,
        "skipped_steps": 0,
        "flops_per_step": 10,
        "half_flops_share": 0.5,
    }
    return Speed(**SHARED | fields | changes)


def training(seed=0, **changes):
    fields = {
        "steps": 3,
        "train_seconds": 2.0,
        "evaluation_seconds": 1.0,
        "metrics": {"accuracy": 0.75},
        "confusion": ((3, 1), (1, 3)),
        "steps_per_point": 1,
        "losses": (0.7, 0.6, 0.5),
        "loss_scales": (),
        "skipped_steps": 0,
        "diverged": None,
    }
    return Training(seed=seed, **fields | changes)


def quality(*trainings):
    fields = {"weights": "random", "data": "embedded", "rows": {"train": 8, "test": 8}, "metric": "accuracy"}
    return Quality(**SHARED | fields, trainings=trainings or (training(),))


def numerics(**changes):
    fields = {
        "seconds": 1.0,
        "loss_error": 1e-3,
        "gradient_error": 1e-2,
        "flushed_share": 0.0,
        "updates": 20,
        "update_error": 1e-2,
        "skipped_steps": 0,
        "half_flops_share": 0.9,
    }
    return Numerics(**SHARED | fields | changes)


def verdict(status, **changes):
    fields = {"kind": "speed", "case": CASE.id, "metric": "learning", "value": 1.0, "limit": 2.0, "sentence": "it fell"}
    return Verdict(status=status, **fields | changes)


RECORDS = {
    "speed": speed(references={"fp32": Blocks(steps=2, seconds=(4.0, 5.0, 6.0))}),
    "quality": quality(training(diverged=Divergence(step=2, reason="the loss is not finite"))),
    "numerics": numerics(),
}


@pytest.mark.parametrize("kind", RECORDS)
def test_a_result_comes_back_from_json_as_it_was(kind):
    result = Result(record=RECORDS[kind], verdicts=(verdict("same"),))
    back = Result.model_validate(json.loads(json.dumps(result.model_dump(mode="json"), allow_nan=False)))
    assert back == result
    assert type(back.record) is type(RECORDS[kind])


def test_a_record_of_an_unknown_kind_is_refused():
    content = Result(record=speed()).model_dump(mode="json")
    content["record"]["kind"] = "smell"
    with pytest.raises(ValidationError, match="smell"):
        Result.model_validate(content)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_figure_that_is_not_finite_becomes_none(value):
    assert speed(loss_after=value).loss_after is None
    assert numerics(gradient_error=value).gradient_error is None
    assert training(losses=(0.7, value)).losses == (0.7, None)
    assert verdict("same").model_validate(verdict("same").model_dump() | {"value": value}).value is None


def test_a_finite_figure_stays():
    assert speed(loss_after=0.25).loss_after == 0.25


@pytest.mark.parametrize("value", ["low", [1.0], {}])
def test_a_figure_that_is_none_is_refused_by_its_name(value):
    with pytest.raises(ValidationError, match="loss_after"):
        speed(loss_after=value)


@pytest.mark.parametrize("record", [CASE, speed().blocks, speed(), quality(), numerics(), verdict("same")])
def test_a_record_is_frozen(record):
    field = next(iter(type(record).model_fields))
    with pytest.raises(ValidationError, match="frozen"):
        setattr(record, field, getattr(record, field))


@pytest.mark.parametrize("record", [CASE, speed(), quality(), numerics(), verdict("same"), Result(record=speed())])
def test_a_key_that_is_not_known_is_refused(record):
    with pytest.raises(ValidationError, match="colour"):
        type(record).model_validate(record.model_dump() | {"colour": "red"})


@pytest.mark.parametrize("seconds", [(), (0.0,), (-1.0,)])
def test_blocks_need_times_above_zero(seconds):
    with pytest.raises(ValidationError, match="seconds"):
        Blocks(steps=1, seconds=seconds)


def test_an_id_names_workload_precision_execution_and_size():
    assert CASE.id == "bert-imdb-bf16-autocast-eager-tiny"


def test_a_case_in_another_precision_differs_in_nothing_else():
    other = CASE.in_precision("fp32")
    assert other.precision == "fp32"
    assert other.in_precision(CASE.precision) == CASE


def test_the_time_of_a_step_is_the_median_block_over_its_steps():
    assert speed().blocks.step_seconds == 0.5


def test_units_per_second_are_a_batch_over_the_time_of_a_step():
    assert speed().units_per_second == 64


def test_a_speedup_is_the_median_ratio_of_neighbouring_blocks():
    # per step the ratios are 4, 1 and 5; the ratio of the medians would be 3.5
    references = {"fp32": Blocks(steps=2, seconds=(2.0, 1.5, 5.0))}
    assert speed(references=references).speedup("fp32") == pytest.approx(4)


def test_there_is_no_speedup_over_a_mode_that_was_not_timed():
    assert speed().speedup("fp32") is None


def test_figures_of_a_quality_are_means_of_metrics_and_medians_of_times():
    several = quality(
        training(0, metrics={"accuracy": 0.5}, train_seconds=1.0, evaluation_seconds=9.0),
        training(1, metrics={"accuracy": 0.5}, train_seconds=2.0, evaluation_seconds=4.0),
        training(2, metrics={"accuracy": 0.8}, train_seconds=9.0, evaluation_seconds=5.0),
    )
    assert several.mean("accuracy") == pytest.approx(0.6)
    assert (several.train_seconds, several.evaluation_seconds) == (2.0, 5.0)


def test_one_training_that_diverged_is_enough():
    assert not quality(training(0), training(1)).diverged
    assert quality(training(0), training(1, diverged=Divergence(step=1, reason="nan"))).diverged


@pytest.mark.parametrize(
    ("status", "passed"), [("same", True), ("better", True), ("new", True), ("worse", False), ("undecided", False)]
)
def test_a_result_passes_where_all_its_verdicts_do(status, passed):
    assert Result(record=speed(), verdicts=(verdict("same"), verdict(status))).passed is passed


@pytest.mark.parametrize("status", ["worse", "undecided", "same"])
def test_what_is_known_of_a_mode_passes(status):
    known = verdict(status, known=True)
    assert known.passed
    assert Result(record=speed(), verdicts=(verdict("same"), known)).passed


def test_what_is_known_excuses_no_other_verdict():
    assert not Result(record=speed(), verdicts=(verdict("worse", known=True), verdict("worse"))).passed


def test_nothing_is_known_unless_it_is_said():
    content = verdict("worse").model_dump()
    del content["known"]  # as results were saved before there was such a field
    assert not Verdict.model_validate(content).passed
