"""Figures of runs beside those of papers and articles."""

import pytest
from reading import rows

from mpcore.records import Published
from mpcore.report.documents import published_document
from mpcore.report.render import render

HEADINGS = ["whose", "hardware", "mode", "train s", "a second", "x", "over", "GB", "scores", "note"]


@pytest.fixture
def figure():
    return Published(
        source="An article", setting="BERT-large", workload="bert-imdb", hardware="T4", precision="fp16-amp",
        train_seconds=1012.8, speedup=2.15, over="fp32", metrics={"accuracy": 0.861, "perplexity": 3.5}, note="another recipe",
    )  # fmt: skip


def test_theirs_come_first_with_what_is_known(run, figure):
    [found] = published_document([run], [figure]).sections
    assert (found.title, found.tables[0].headings) == ("bert-imdb", tuple(HEADINGS))
    assert rows(found)[0] == dict(
        zip(
            HEADINGS,
            [
                "An article: BERT-large",
                "T4",
                "fp16-amp",
                "1,012.8",
                "-",
                "2.15",
                "fp32",
                "-",
                "accuracy 86.10 %, perplexity 3.500",
                "another recipe",
            ],
            strict=True,
        )
    )


def test_ours_have_a_row_for_each_mode_that_was_timed_or_trained(run, figure):
    _, fp32, amp = rows(published_document([run], [figure]).sections[0])
    assert (fp32["mode"], fp32["x"], fp32["over"]) == ("fp32", "-", "-")
    assert amp == {
        "whose": "here: eager, batch 32",
        "hardware": "Some GPU",
        "mode": "fp16-amp",
        "train s": "10.5",
        "a second": "256",
        "x": "2.00 / 1.50",
        "over": "fp32 / tf32",
        "GB": "1.07",
        "scores": "accuracy 80.50 %, precision 50.00 %, recall 25.00 %, f1 12.50 %",
        "note": "trained on 1,600, random weights",
    }


def trained(run, lost=False):
    results = [r for r in run.results if r.record.kind == "accuracy" and r.record.case.workload == "bert-imdb"]
    if lost:
        results = [results[0], *lost(results[1:])]
    return run.model_copy(update={"results": tuple(results)})


def test_without_times_of_steps_trainings_are_compared(run, figure):
    def halved(result):
        trainings = tuple(t.model_copy(update={"train_seconds": t.train_seconds / 2}) for t in result.record.trainings)
        return result.model_copy(update={"record": result.record.model_copy(update={"trainings": trainings})})

    fp32, amp = trained(run).results
    faster = run.model_copy(update={"results": (fp32, halved(amp))})
    assert rows(published_document([faster], [figure]).sections[0])[-1]["x"] == "2.00"


def test_a_training_that_diverged_was_cut_short_and_is_no_faster(run, figure, lost):
    last = rows(published_document([trained(run, lost)], [figure]).sections[0])[-1]
    assert (last["x"], last["scores"]) == ("-", "-")
    assert last["note"].endswith(", 2 of 2 diverged")


def test_figures_of_what_was_not_measured_are_left_out(run, figure):
    other = figure.model_copy(update={"workload": "resnet50"})
    text = render(published_document([run], [other]), "markdown")
    assert text == "No figures were published of what these runs measured.\n"
