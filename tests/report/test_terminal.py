import re

import pytest

from mpcore.explain import explain
from mpcore.records import Blocks, Reference
from mpcore.report.tables import ERRORS, LEADING, PARITY, QUALITY, SPEED, VERDICT
from mpcore.report.terminal import NAME, SPARE, summary, terminal


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
    columns = LEADING | SPEED | QUALITY | ERRORS | VERDICT
    eager = [heading.format(unit="reviews", short="acc. %") for name, (heading, _) in columns.items() if name != "eager_ms"]
    assert list(cells(text, "bert-imdb", "fp16-amp")) == eager
    assert too_long(text) == []


def too_long(text):
    return [line for line in text.splitlines() if len(line) > 100]


@pytest.mark.parametrize("status", ["same", "worse"])
def test_all_that_is_measured_of_nine_modes_on_a_gpu_fits_a_hundred(full, worsened, status):
    text = summary(worsened(full, "quality", "accuracy", known=False) if status == "worse" else full, [], "NVIDIA H200")
    columns = LEADING | SPEED | QUALITY | ERRORS | VERDICT
    row = cells(text, "bert-imdb", "fp16-amp")
    assert list(row) == [heading.format(unit="reviews", short="acc. %") for heading, _ in columns.values()]
    assert row["gate"] == ("ok" if status == "same" else "failed")
    assert cells(text, "bert-imdb", "fp16-forward")
    assert too_long(text) == []


def test_comparisons_with_other_trainers_fit_a_hundred(rivals):
    table = summary(rivals, [], "NVIDIA H200").split("\n\n")[0]
    title, headings, *_ = table.splitlines()
    assert title == "against other trainers, on NVIDIA H200"
    assert len(re.split(" {2,}", headings)) == len(PARITY | VERDICT)
    assert too_long(table) == []


def test_comparisons_with_other_trainers_have_a_row_each(results, rivals):
    text = summary([*results, *rivals], [], "Some CPU")
    table = next(block for block in text.split("\n\n") if block.startswith("against other trainers"))
    steps, training = (re.split(" {2,}", line) for line in table.splitlines()[3:])
    assert steps[:4] == ["resnet18-mnist", "fp16-amp", "eager", "plain PyTorch 2.11.0"]
    assert training[:4] == ["bert-imdb", "fp16-amp", "eager", "Trainer 5.1.0"]
    figures = [[float(cell) for cell in row[4:7]] for row in (steps, training)]
    assert figures == [pytest.approx([25, 15.625, 0.6124], rel=0.01), pytest.approx([50, 100, 2], rel=0.01)]
    assert (steps[7:], training[7:]) == (["-", "-", "failed"], ["91.25", "91.00", "ok"])


def test_what_failed_beside_another_trainer_is_told_with_what_else_failed(outcome, results, rivals):
    failed = terminal(outcome([*results, *rivals])).split("\n\n")[-2].splitlines()
    assert failed[0] == "failed:"
    assert failed[1].startswith("  bert-imdb: gradient error of fp16-amp")
    assert failed[2:] == ["  resnet18-mnist: fp16-amp as eager is slower"]


def test_without_comparisons_nothing_is_said_of_other_trainers(results):
    assert "other trainers" not in summary(results, [], "Some CPU")


def test_each_mode_that_was_timed_says_why_below_the_table(full):
    blocks = summary(full, [], "NVIDIA H200").split("\n\n")
    whole = re.sub("\n  ", " ", blocks[1])
    speeds = [r.record for r in full if r.record.kind == "speed"]
    assert whole.splitlines() == [f"{speed.case.precision}: {explain(speed)}" for speed in speeds]
    assert blocks[1].count("\n  ") >= len(speeds)  # they are longer than a line


def test_without_times_nobody_says_why(results):
    text = summary([r for r in results if r.record.kind != "speed"], [], "Some CPU")
    assert "not profiled" not in text


def timed(full, **changes):
    """The modes of a GPU that were timed, with changes to their records."""
    return [r.model_copy(update={"record": r.record.model_copy(update=changes)}) for r in full if r.record.kind == "speed"]


def test_how_far_references_drifted_is_said_once_for_a_workload(full):
    text = summary(timed(full, drift={"fp32": 0.0012, "tf32": -0.0345}), [], "NVIDIA H200")
    assert text.count("bert-imdb (graph): from its beginning to its end fp32 took +0.12 %, tf32 took -3.45 %") == 1
    assert text.count("from its beginning") == 1


def test_a_reference_that_is_missing_is_said_with_its_reason_once(full):
    text = summary(timed(full, missing={"fp32": "CUDA out of memory"}), [], "NVIDIA H200")
    assert text.count("bert-imdb (graph): no fp32 to compare with: CUDA out of memory") == 1


def test_other_processes_on_the_gpu_are_said_once(full):
    record = full[0].record
    text = summary(timed(full, gpu=record.gpu.model_copy(update={"other_processes": 2})), [], "NVIDIA H200")
    assert text.count("other processes were on the GPU while it was timed") == 1


def test_one_case_beside_which_others_were_on_the_gpu_is_enough(full):
    last = timed(full, gpu=full[0].record.gpu.model_copy(update={"other_processes": 1}))[-1]
    assert "other processes were on the GPU" in summary([*timed(full)[:-1], last], [], "NVIDIA H200")


def test_nvml_that_does_not_answer_is_said_once(full):
    text = summary(timed(full, gpu=None), [], "NVIDIA H200")
    assert text.count("NVML does not answer: clocks, power and throttling of the GPU are not known") == 1


def test_of_a_machine_that_did_as_it_should_nothing_is_said(full):
    text = summary(full, [], "NVIDIA H200")
    assert "from its beginning" not in text
    assert "other processes" not in text
    assert "NVML" not in text


def test_of_a_cpu_nobody_asks_nvml(results):
    assert "NVML" not in summary(results, [], "Some CPU")


@pytest.fixture
def wide(results):
    """Results of bert-imdb of which each figure is as wide as a measured one can be, in fp16-forward of fp16-amp."""

    def wide(result):
        record = result.record
        if record.case.precision == "fp32":
            return result
        update = {"case": record.case.in_precision("fp16-forward")}
        if record.kind == "speed":
            blocks = Blocks(steps=2, seconds=(2.46912, 2.46912))
            slower = Reference(blocks=Blocks(steps=2, seconds=(24.68, 24.68)), rounds=blocks)
            references = {"fp32": slower, "tf32": slower}
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
        "pts": "-31.00",
        "grad.": "5e-01",
        "upd.": "3e-02",
        "gate": "failed",
    }
    assert too_long(text) == []


def test_each_workload_has_a_titled_table(results):
    text = summary(results, [], "Some CPU")
    assert "bert-imdb (tiny, eager, batch of 32, on Some CPU)" in text
    assert "resnet18-mnist (tiny, eager, batch of 64, on Some CPU)" in text


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
        "pts": "-0.50",
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


def test_the_sentence_of_a_failure_is_shown_and_of_a_pass_is_not(outcome, results):
    text = terminal(outcome(results))
    assert "failed:\n  bert-imdb: gradient error of fp16-amp against fp64 is 0.5, at most 0.1 may be" in text
    assert "all is well" not in text


def test_without_failures_nothing_is_said_to_have_failed(outcome, results):
    text = terminal(outcome([r for r in results if r.passed]))
    assert "failed:" not in text
    assert "known:" not in text


def test_what_failed_comes_last_but_for_where_it_was_saved(outcome, results):
    blocks = terminal(outcome(results, skipped=["no GPU here"], folder="baselines/some")).split("\n\n")
    assert [block.split(":")[0] for block in blocks[-4:]] == ["not run", "new", "failed", "nothing was saved"]


def test_what_is_known_is_told_apart_from_what_failed(outcome, results, worsened):
    text = terminal(outcome(worsened(results, "quality", "accuracy", known=True)))
    assert "known:\n  accuracy is known to be lost\n\nfailed:\n  bert-imdb: gradient error of fp16-amp" in text
    assert cells(text, "bert-imdb", "fp16-amp")["gate"] == "failed"


def test_what_is_known_does_not_fail(outcome, results, worsened):
    passed = [r for r in results if r.passed]
    text = terminal(outcome(worsened(passed, "quality", "accuracy", known=True)))
    assert "known:\n  accuracy is known to be lost" in text
    assert "failed" not in text
    assert cells(text, "bert-imdb", "fp16-amp")["gate"] == "known"


@pytest.mark.parametrize("status", ["same", "better", "worse", "undecided"])
def test_beside_the_gate_stands_what_a_case_is_since_accepted_runs(full, since, status):
    text = summary(since(full, status), [], "NVIDIA H200")
    row = cells(text, "bert-imdb", "bf16-amp")
    assert (row["gate"], row["since"]) == ("failed" if status == "worse" else "ok", status)
    assert "since: the gravest" in text
    assert too_long(text) == []


def test_where_all_is_new_nothing_is_said_of_it(full, since):
    text = summary(since(full, "new"), [], "NVIDIA H200")
    assert "since" not in text


def test_what_a_terminal_has_no_room_for_is_left_out_beginning_with_what_counts_least(wide, since):
    row = cells(summary(since(wide, "undecided"), [], "Some CPU"), "bert-imdb", "fp16-forward")
    assert list(row) == ["mode", "step ms", "reviews/s", "x fp32", "x tf32", "GiB", "acc. %", "pts", "upd.", "gate", "since"]
    assert set(SPARE[:2]) == {"train_s", "gradient_error"}


@pytest.mark.parametrize(
    "name", ["fp16-with-a-name-that-goes-on-and-on-and-on", "größer-als-je-zuvor-und-noch-länger-→", "<b>|`x`"]
)
def test_a_mode_of_any_name_has_a_row(wide, since, name):
    renamed = [
        r.model_copy(update={"record": r.record.model_copy(update={"case": r.record.case.in_precision(name)})})
        for r in wide[1:]
    ]
    text = summary(since(renamed, "undecided"), [], "Some CPU")
    assert cells(text, "bert-imdb", name if len(name) <= NAME else f"{name[: NAME - 1]}…")["since"] == "undecided"
    assert too_long(text) == []


def test_five_hundred_cases_have_a_row_each(many):
    text = summary(many(500), [], "Some CPU")
    assert sum(line.startswith("mode-") and line.endswith("ok") for line in text.splitlines()) == 500
    assert too_long(text) == []


def test_a_single_case_has_one(many):
    assert cells(summary(many(1), [], "Some CPU"), "bert-imdb", "mode-0")["step ms"] == "250.00"


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
