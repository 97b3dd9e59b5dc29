"""The errors of each tensor: the worst in a sentence of each mode, all of them in a plot."""

import pytest

from mpcore.records import Selection, TensorErrors
from mpcore.report.documents import run_document, session_document
from mpcore.report.page import page
from mpcore.report.page.newest import groups
from mpcore.report.page.panels import tensors
from mpcore.report.render import render
from mpcore.report.summary import SessionSummary

TENSORS = (
    TensorErrors(
        name="side.0.weight", layer="Linear", norm_share=0.6, gradient_error=0.012, gradient_limit=0.03, update_error=0.1,
        update_limit=0.25,
    ),
    TensorErrors(name="side.0.bias", layer="Linear", norm_share=0.0, gradient_error=None, update_error=None),
    TensorErrors(name="head.<b>", layer="Head", norm_share=0.8, gradient_error=0.02, gradient_limit=0.03, update_error=None),
)  # fmt: skip


@pytest.fixture
def with_tensors(run, results):
    """with_tensors(**changes): a run in which the errors of fp16-amp are known by tensor."""

    def with_tensors(**changes):
        *others, last = results
        record = last.record.model_copy(update={"tensors": TENSORS} | changes)
        return run.model_copy(update={"results": (*others, last.model_copy(update={"record": record}))})

    return with_tensors


@pytest.mark.parametrize(
    ("limit", "ends"), [(0.99, "may be."), (1.0, "Rounding alone moves it so far that a wrong one may pass.")]
)
def test_a_limit_that_finds_hardly_anything_is_told(with_tensors, limit, ends):
    wide = (TENSORS[-1].model_copy(update={"gradient_error": 0.4, "gradient_limit": limit}),)
    (line,) = [
        line for line in render(run_document(with_tensors(tensors=wide)), "markdown").splitlines() if "is 0.4 off" in line
    ]
    assert line.endswith(ends)


def test_the_worst_tensor_of_a_mode_is_named(with_tensors):
    text = render(run_document(with_tensors()), "markdown")
    assert "fp16-amp: the worst gradient, of head." in text
    assert "(Head), is 0.02 off where 0.03 may be." in text
    assert "fp32: the worst" not in text, "of which no tensors are known"


def test_a_session_names_the_worst_of_all_modes(with_tensors):
    summary = SessionSummary(with_tensors(remark="its loss is random"), Selection(device="cpu"))
    text = render(session_document(summary), "terminal")
    said = " ".join(text.split())
    worst = "in fp16-amp the worst gradient, of head.<b> (Head), is 0.02 off where 0.03 may be"
    assert f"bert-imdb (eager): {worst}" in said
    assert said.count("bert-imdb (eager): its loss is random") == 1


def test_what_is_not_finite_and_what_is_random_is_said(with_tensors):
    text = render(run_document(with_tensors(not_finite="the loss is not finite", remark="its loss is random")), "markdown")
    assert "fp16-amp: the loss is not finite." in text
    assert text.count("its loss is random.") == 1
    assert "the worst" not in text


def test_each_mode_is_a_line_over_the_layers(with_tensors):
    run = with_tensors()
    [view] = tensors(list(groups({"cpu": run.results}))).views
    assert view.columns["tensor"] == ["side.0.weight (Linear)", "head.<b> (Head)"]
    assert view.columns["place"] == [1, 3], "what has no gradient is left out"
    assert view.columns["relative error"] == [0.012, 0.02]
    assert view.columns["at most"] == [0.03, 0.03]
    [trace] = view.traces
    assert trace["where"] == ["mode", "fp16-amp"]


def test_older_runs_know_no_tensors(run):
    assert tensors(list(groups({"cpu": run.results}))).views == []
    assert "Errors by layer" not in page([run])


def test_the_page_has_them(with_tensors):
    text = page([with_tensors()])
    assert "Errors by layer" in text
    assert "head.\\u003cb> (Head)" in text


def test_errors_by_tensor_are_shares_of_what_they_may_be():
    weight, bias, _ = TENSORS
    assert (weight.gradient_share, bias.gradient_share) == (pytest.approx(0.4), 0.0)
