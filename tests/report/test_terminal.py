import pytest

from mpcore.records import Blocks
from mpcore.report.tables import ERRORS, LEADING, QUALITY, SPEED, VERDICT
from mpcore.report.terminal import summary


def cells(text, workload, mode):
    """The row of `mode` in the table of `workload`, by column."""
    lines = next(block for block in text.split("\n\n") if block.startswith(workload)).splitlines()
    rule = lines[2]
    starts = [i for i, c in enumerate(rule) if c == "-" and (i == 0 or rule[i - 1] == " ")]
    ends = [*(start for start in starts[1:]), None]
    split = [[line[a:b].strip() for a, b in zip(starts, ends, strict=True)] for line in (lines[1], *lines[3:])]
    return dict(zip(split[0], next(row for row in split[1:] if row[0] == mode), strict=True))


def test_a_table_of_all_columns_fits_a_hundred(results):
    text = summary(results, ["fp16 is emulated on a CPU"], "Some CPU")
    columns = [*LEADING.values(), *SPEED.values(), *QUALITY.values(), *ERRORS.values(), *VERDICT.values()]
    assert list(cells(text, "bert-imdb", "fp16-amp")) == [heading.format(unit="reviews") for heading, _ in columns]
    assert max(len(line) for line in text.splitlines()) <= 100


@pytest.fixture
def wide(results):
    """Results of bert-imdb of which each figure is as wide as a measured one can be, in fp16-forward of fp16-amp."""

    def wide(result):
        record = result.record
        if record.case.precision == "fp32":
            return result
        update = {"case": record.case.in_precision("fp16-forward")}
        if record.kind == "speed":
            references = {name: Blocks(steps=2, seconds=(24.68, 24.68)) for name in ("fp32", "tf32")}
            blocks = Blocks(steps=2, seconds=(2.46912, 2.46912))
            update |= {"blocks": blocks, "references": references, "peak_allocated_bytes": 90 * 2**30}
        if record.kind == "quality":
            trainings = tuple(t.model_copy(update={"train_seconds": 987.6}) for t in record.trainings)
            update |= {"trainings": tuple(t.model_copy(update={"metrics": {"accuracy": 0.5}}) for t in trainings)}
        return result.model_copy(update={"record": record.model_copy(update=update)})

    return [wide(r) for r in results if r.record.case.workload == "bert-imdb"]


def test_the_longest_name_of_a_mode_fits_with_the_widest_figures(wide):
    text = summary(wide, [], "Some CPU")
    assert cells(text, "bert-imdb", "fp16-forward") == {
        "mode": "fp16-forward",
        "step ms": "1234.56",
        "reviews/s": "26",
        "x fp32": "10.00",
        "x tf32": "10.00",
        "GiB": "90.00",
        "train": "987.6",
        "acc. %": "50.00",
        "points": "-31.00",
        "grad.": "5e-01",
        "upd.": "3e-02",
        "gate": "failed",
    }
    assert max(len(line) for line in text.splitlines()) <= 100


def test_each_workload_has_a_titled_table(results):
    text = summary(results, [], "Some CPU")
    assert "bert-imdb (tiny, eager, batch of 32 reviews, on Some CPU)" in text
    assert "resnet18-mnist (tiny, eager, batch of 64 images, on Some CPU)" in text


def test_figures_stand_under_their_headings(results):
    row = cells(summary(results, [], "Some CPU"), "bert-imdb", "fp16-amp")
    assert row == {
        "mode": "fp16-amp",
        "step ms": "125.00",
        "reviews/s": "256",
        "x fp32": "2.00",
        "x tf32": "1.50",
        "GiB": "1.00",
        "train": "10.5",
        "acc. %": "80.50",
        "points": "-0.50",
        "grad.": "5e-01",
        "upd.": "3e-02",
        "gate": "failed",
    }


def test_what_was_not_measured_is_a_dash(results):
    text = summary(results, [], "Some CPU")
    row = cells(text, "resnet18-mnist", "fp16-pure")
    assert (row["step ms"], row["images/s"], row["acc. %"]) == ("-", "-", "10.00")
    assert cells(text, "bert-imdb", "fp32")["x fp32"] == "-"


def test_a_column_with_nothing_in_it_is_left_out(results):
    assert cells(summary(results, [], "Some CPU"), "resnet18-mnist", "fp32").keys().isdisjoint({"GiB", "grad.", "x fp32"})


def test_the_sentence_of_a_failure_is_shown_and_of_a_pass_is_not(results):
    text = summary(results, [], "Some CPU")
    assert "failed:\n  bert-imdb: gradient error of fp16-amp against fp64 is 0.5, at most 0.1 may be" in text
    assert "all is well" not in text


def test_without_failures_nothing_is_said_to_have_failed(results):
    text = summary([r for r in results if r.passed], [], "Some CPU")
    assert "failed:" not in text
    assert "known:" not in text


def test_what_is_known_is_told_apart_from_what_failed(results, worsened):
    text = summary(worsened(results, "quality", "accuracy", known=True), [], "Some CPU")
    assert "known:\n  accuracy is known to be lost\nfailed:\n  bert-imdb: gradient error of fp16-amp" in text
    assert cells(text, "bert-imdb", "fp16-amp")["gate"] == "failed"


def test_what_is_known_does_not_fail(results, worsened):
    passed = [r for r in results if r.passed]
    text = summary(worsened(passed, "quality", "accuracy", known=True), [], "Some CPU")
    assert text.endswith("known:\n  accuracy is known to be lost")
    assert "failed" not in text
    assert cells(text, "bert-imdb", "fp16-amp")["gate"] == "known"


def test_a_batch_that_is_only_a_part_of_the_workload_is_not_in_the_title(results):
    assert "bert-imdb (tiny, eager, on Some CPU)" in summary(results[-2:], [], "Some CPU")


def test_reasons_for_skipping_are_counted(results):
    text = summary(results, ["no bf16 here", "no GPU here", "no bf16 here"], "Some CPU")
    assert text.endswith("not run:\n  no bf16 here (2 cases)\n  no GPU here (1 case)")


@pytest.mark.parametrize("skipped", [[], ["no GPU here"]])
def test_without_results_there_is_no_table(skipped):
    text = summary([], skipped, "Some CPU")
    assert "mode" not in text
    assert ("no GPU here (1 case)" in text) is bool(skipped)


@pytest.mark.parametrize(("weights", "words"), [("random", "random weights"), ("some/bert", "weights of some/bert")])
def test_it_says_what_was_trained_from_what(results, weights, words):
    records = [r.record for r in results if r.record.kind == "quality" and r.record.case.workload == "bert-imdb"]
    trained = [results[0].model_copy(update={"record": r.model_copy(update={"weights": weights})}) for r in records]
    text = summary(trained, [], "Some CPU")
    assert text.count(f"bert-imdb: trained from {words} on 1,600 reviews (embedded data)") == 1
