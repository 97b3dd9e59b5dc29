"""What stands at the end of a session."""

import re

import pytest
from reading import row, rows, section, sentences, titles

from mpcore.kernels.bound import bound
from mpcore.records import Blocks, Quality, Reference, Result, Work
from mpcore.report.documents import session_document
from mpcore.report.render import render
from mpcore.report.sections.cases import SPARE

FIGURES = ["step ms", "reviews/s", "x fp32", "x tf32", "GiB", "train", "acc. %", "pts", "grad.", "upd.", "gate"]


@pytest.fixture
def shown(summary):
    """shown(results): the document of a session."""

    def shown(results=(), failed=(), **changes):
        return session_document(summary(results, failed, **changes))

    return shown


def widest(document):
    """Columns of its longest line, without the commands to type, which are not broken."""
    return max(len(line) for line in render(document, "terminal").splitlines() if not line.startswith("  python -m mpcore"))


def cells(document, workload, mode):
    return row(section(document, workload), mode)


def test_a_table_of_all_columns_fits_a_hundred(shown, results):
    document = shown(results, skipped=["fp16 is emulated on a CPU"])
    assert list(cells(document, "bert-imdb", "fp16-amp")) == ["mode", *FIGURES]
    assert "train" in render(document, "terminal").splitlines()[1].split()
    assert widest(document) <= 100


@pytest.mark.parametrize("status", ["same", "worse"])
def test_all_that_is_measured_of_nine_modes_on_a_gpu_fits_a_hundred(shown, full, worsened, status):
    document = shown(worsened(full, "accuracy", "accuracy", known=False) if status == "worse" else full)
    found = cells(document, "bert-imdb", "fp16-amp")
    assert list(found) == ["mode", FIGURES[0], "eager ms", *FIGURES[1:]]
    assert found["gate"] == ("ok" if status == "same" else "failed")
    assert len(rows(section(document, "bert-imdb"))) == 9
    assert render(document, "terminal").splitlines()[1].split() == ["mode", *" ".join(FIGURES).split()]
    assert widest(document) <= 100


def test_comparisons_with_other_trainers_fit_a_hundred(shown, trainers):
    document = shown(trainers)
    assert titles(document)[0] == "against other trainers, on Some GPU"
    assert widest(document) <= 100


def test_comparisons_with_other_trainers_have_a_row_each(shown, results, trainers):
    steps, training = rows(section(shown([*results, *trainers]), "against other trainers"))
    assert list(steps.values())[:4] == ["resnet18-mnist", "fp16-amp", "eager", "plain PyTorch 2.11.0"]
    assert list(training.values())[:4] == ["bert-imdb", "fp16-amp", "eager", "Trainer 5.1.0"]
    assert [steps[name] for name in ("ours ms", "theirs ms", "x")] == ["25.000", "15.625", "0.61"]
    assert [training[name] for name in ("ours ms", "theirs ms", "x")] == ["50.000", "100.000", "2.00"]
    assert list(steps.values())[7:] == ["-", "-", "failed"]
    assert list(training.values())[7:] == ["91.25", "91.00", "ok"]


def test_without_comparisons_nothing_is_said_of_other_trainers(shown, results):
    assert not any("other trainers" in title for title in titles(shown(results)))


def test_each_mode_that_was_timed_says_why_below_the_table(shown, full):
    document = shown(full)
    speeds = [r.record for r in full if r.record.kind == "speed"]
    assert section(document, "bert-imdb").sentences == [f"{speed.case.precision}: {bound(speed)}" for speed in speeds]
    block = render(document, "terminal").split("\n\n")[1]
    assert block.startswith("fp32: ")
    assert block.count("\n  ") >= len(speeds)  # they are longer than a line


def test_without_times_nobody_says_why(shown, results):
    assert "not profiled" not in sentences(shown([r for r in results if r.record.kind != "speed"]))


def timed(full, **changes):
    """The modes of a GPU that were timed, with changes to their records."""
    return [r.model_copy(update={"record": r.record.model_copy(update=changes)}) for r in full if r.record.kind == "speed"]


def test_how_far_references_drifted_is_said(shown, full, drifted):
    said = sentences(shown([*timed(full), drifted({"fp32": 0.0012, "tf32": -0.0345})]))
    assert "bert-imdb (graph): from its beginning to its end fp32 took +0.12 %, tf32 took -3.45 %" in said


def test_a_reference_that_is_missing_is_said_with_its_reason_once(shown, full):
    said = sentences(shown(timed(full, missing={"fp32": "CUDA out of memory"})))
    assert said.count("bert-imdb (graph): no fp32 to compare with: CUDA out of memory") == 1


def test_one_case_beside_which_others_were_on_the_gpu_is_enough(shown, full):
    last = timed(full, gpu=full[0].record.gpu.model_copy(update={"other_processes": 1}))[-1]
    assert sentences(shown([*timed(full)[:-1], last])).count("other processes were on the GPU while it was timed") == 1


def test_nvml_that_does_not_answer_is_said_once(shown, full):
    said = sentences(shown(timed(full, gpu=None)))
    assert said.count("NVML does not answer: clocks, power and throttling of the GPU are not known") == 1


def test_of_a_machine_that_did_as_it_should_nothing_is_said(shown, full):
    text = " ".join(sentences(shown(full)))
    assert "from its beginning" not in text
    assert "other processes" not in text
    assert "NVML" not in text


def test_of_a_cpu_nobody_asks_nvml(shown, results):
    assert "NVML" not in " ".join(sentences(shown(results)))


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
        if record.kind == "accuracy":
            trainings = tuple(t.model_copy(update={"train_seconds": 987.6}) for t in record.trainings)
            update |= {"trainings": tuple(t.model_copy(update={"metrics": {"accuracy": 0.5}}) for t in trainings)}
        return result.model_copy(update={"record": record.model_copy(update=update)})

    return [wide(r) for r in results if r.record.case.workload == "bert-imdb"]


def test_the_longest_name_of_a_mode_fits_with_the_widest_figures(shown, wide):
    document = shown(wide)
    assert cells(document, "bert-imdb", "fp16-forward") == {
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
    assert "train" in render(document, "terminal").splitlines()[1].split()
    assert widest(document) <= 100


def test_each_workload_has_a_titled_table(shown, results):
    document = shown(results)
    assert titles(document)[:2] == [
        "bert-imdb (tiny, eager, batch of 32, on Some GPU)",
        "resnet18-mnist (tiny, eager, batch of 64, on Some GPU)",
    ]


def test_a_batch_that_is_asked_for_stands_in_the_title_though_no_speed_is_measured(shown, results):
    numerics = next(result for result in results if result.record.kind == "numerics")
    asked = numerics.record.case.model_copy(update={"batch_size": 64})
    other = numerics.model_copy(update={"record": numerics.record.model_copy(update={"case": asked})})
    assert titles(shown([numerics, other]))[:2] == [
        "bert-imdb (tiny, eager, on Some GPU)",
        "bert-imdb (tiny, eager, batch of 64, on Some GPU)",
    ]


def test_how_a_step_is_spread_stands_in_the_title(shown, many):
    (result,) = many(1)
    case = result.record.case.model_copy(update={"strategy": "ddp", "gpus": 2, "trainer": "fabric"})
    other = result.model_copy(update={"record": result.record.model_copy(update={"case": case})})
    assert titles(shown([result, other])) == [
        "bert-imdb (tiny, eager, batch of 32, on Some GPU)",
        "bert-imdb (tiny, eager, ddp on 2 GPUs, by fabric, batch of 32, on Some GPU)",
        "several GPUs: bert-imdb",
        "Rank by rank",
    ]


def test_figures_stand_under_their_headings(shown, results):
    assert cells(shown(results), "bert-imdb", "fp16-amp") == {
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


def test_what_was_not_measured_is_a_dash(shown, results):
    document = shown(results)
    found = cells(document, "resnet18-mnist", "fp16-pure")
    assert (found["step ms"], found["images/s"], found["acc. %"]) == ("-", "-", "10.00")
    assert cells(document, "bert-imdb", "fp32")["x fp32"] == "-"


def test_a_column_with_nothing_in_it_is_left_out(shown, results):
    assert cells(shown(results), "resnet18-mnist", "fp32").keys().isdisjoint({"GiB", "grad.", "x fp32"})


def test_without_failures_nothing_is_said_to_have_failed(shown, results):
    assert {"failed:", "known:"}.isdisjoint(titles(shown([r for r in results if r.passed])))


def test_what_failed_comes_last_but_for_where_it_was_saved(shown, results):
    blocks = render(shown(results, skipped=["no GPU here"], folder="baselines/some"), "terminal").split("\n\n")
    assert [block.split(":")[0] for block in blocks[-4:]] == ["not run", "new", "failed", "nothing was saved"]


def test_what_is_known_is_told_apart_from_what_failed(shown, results, worsened):
    document = shown(worsened(results, "accuracy", "accuracy", known=True))
    assert section(document, "known:").sentences == ["accuracy is known to be lost"]
    assert section(document, "failed:").sentences == [results[-1].checks[0].sentence]
    assert cells(document, "bert-imdb", "fp16-amp")["gate"] == "failed"


def test_what_is_known_does_not_fail(shown, results, worsened):
    passed = [r for r in results if r.passed]
    document = shown(worsened(passed, "accuracy", "accuracy", known=True))
    assert section(document, "known:").sentences == ["accuracy is known to be lost"]
    assert "failed:" not in titles(document)
    assert cells(document, "bert-imdb", "fp16-amp")["gate"] == "known"


@pytest.mark.parametrize("status", ["same", "better", "worse", "undecided", "changed"])
def test_beside_the_gate_stands_what_a_case_is_since_accepted_runs(shown, full, compared, status):
    document = shown(compared(full, status))
    found = cells(document, "bert-imdb", "bf16-amp")
    assert (found["gate"], found["since"]) == ("failed" if status == "worse" else "ok", status)
    assert any("since: the gravest" in said for said in sentences(document))
    assert widest(document) <= 100


def test_where_all_is_new_nothing_is_said_of_it(shown, full, compared):
    document = shown(compared(full, "new"))
    assert "since" not in cells(document, "bert-imdb", "fp32")
    assert not any("since" in said for said in sentences(document))


def test_what_a_terminal_has_no_room_for_is_left_out_beginning_with_what_counts_least(shown, wide, compared):
    document = shown(compared(wide, "undecided"))
    headings = re.split(" {2,}", render(document, "terminal").splitlines()[1])
    assert headings == ["mode", "step ms", "reviews/s", "x fp32", "x tf32", "GiB", "acc. %", "pts", "upd.", "gate", "since"]
    assert SPARE[-4:-2] == ("train_s", "gradient_error")
    assert widest(document) <= 100


def test_what_a_step_does_is_shown_and_a_narrow_terminal_leaves_it_out_first(shown, full, counted):
    document = shown(counted(full))
    found = cells(document, "bert-imdb", "fp16-amp")
    assert (found["casts"], found["launches"], found["saved GiB"]) == ("98", "1,234", "0.250")
    assert any("casts, launches: counted in one step." in said for said in sentences(document))
    assert render(document, "terminal").splitlines()[1].split() == ["mode", *" ".join(FIGURES).split()]
    assert not any("saved GiB" in said for said in sentences(shown(full)))


def test_a_session_that_only_counts_shows_what_it_counted(shown, results, counted):
    document = shown(counted(results)[len(results) :])
    assert cells(document, "bert-imdb", "fp32") == {"mode": "fp32", "casts": "98", "saved GiB": "0.250", "gate": "ok"}
    counts = "casts, launches: counted in one step. saved GiB: what it keeps for the backward pass."
    assert sentences(document)[0] == f'{counts} "-": not measured.', "no heading is explained that no table has"


def eager(run, results, seconds):
    """A run in which all graphs took so long when Python launched them."""
    changed = [
        r.model_copy(update={"record": r.record.model_copy(update={"eager": Blocks(steps=1, seconds=(seconds,))})})
        for r in results
        if r.record.kind == "speed"
    ]
    return run.model_copy(update={"results": tuple(changed)})


@pytest.mark.parametrize(
    ("accepted", "text"),
    [((), "29.7"), ((0.0297,), "29.7"), ((0.0565, 0.0344), "29.7-56.5"), ((0.0201,), "20.1-29.7")],
)
def test_an_eager_time_is_a_range_over_all_that_is_known_of_it(shown, run, full, accepted, text):
    document = shown(full, accepted=[eager(run, full, seconds) for seconds in accepted], folder="baselines/x")
    assert cells(document, "bert-imdb", "fp16-amp")["eager ms"] == text
    assert any("eager ms: the same step launched by Python" in said for said in sentences(document))


def test_a_run_on_other_terms_says_nothing_of_an_eager_time(shown, run, full):
    other = eager(run, full, 0.0565)
    results = [r.model_copy(update={"record": r.record.model_copy(update={"batch_size": 64})}) for r in other.results]
    document = shown(full, accepted=[other.model_copy(update={"results": tuple(results)})], folder="baselines/x")
    assert cells(document, "bert-imdb", "fp16-amp")["eager ms"] == "29.7"


@pytest.mark.parametrize(
    "name", ["fp16-with-a-name-that-goes-on-and-on-and-on", "größer-als-je-zuvor-und-noch-länger-→", "<b>|`x`"]
)
def test_a_mode_of_any_name_has_a_row(shown, wide, compared, name):
    renamed = [
        r.model_copy(update={"record": r.record.model_copy(update={"case": r.record.case.in_precision(name)})})
        for r in wide[1:]
    ]
    document = shown(compared(renamed, "undecided"))
    assert cells(document, "bert-imdb", name)["since"] == "undecided"
    assert widest(document) <= 100


def test_five_hundred_cases_have_a_row_each(shown, many):
    document = shown(many(500))
    text = render(document, "terminal")
    assert sum(line.startswith("mode-") and line.endswith("ok") for line in text.splitlines()) == 500
    assert widest(document) <= 100


def test_a_single_case_has_one(shown, many):
    assert cells(shown(many(1)), "bert-imdb", "mode-0")["step ms"] == "250.00"


def test_a_batch_that_is_only_a_part_of_the_workload_is_not_in_the_title(shown, results):
    assert titles(shown(results[-2:]))[0] == "bert-imdb (tiny, eager, on Some GPU)"


def test_reasons_for_skipping_are_counted(shown, results):
    document = shown(results, skipped=["no bf16 here", "no GPU here", "no bf16 here"])
    assert section(document, "not run:").sentences == ["no bf16 here (2 cases)", "no GPU here (1 case)"]


@pytest.mark.parametrize("skipped", [[], ["no GPU here"]])
def test_without_results_there_is_no_table(shown, skipped):
    document = shown(skipped=skipped)
    assert not any(each.tables for each in document.sections)
    assert ("no GPU here (1 case)" in sentences(document)) is bool(skipped)


@pytest.mark.parametrize(("weights", "words"), [("random", "random weights"), ("some/bert", "weights of some/bert")])
def test_it_says_what_was_trained_from_what(shown, results, weights, words):
    records = [r.record for r in results if r.record.kind == "accuracy" and r.record.case.workload == "bert-imdb"]
    trained = [results[0].model_copy(update={"record": r.model_copy(update={"weights": weights})}) for r in records]
    assert sentences(shown(trained)).count(f"bert-imdb: trained from {words} on 1,600 reviews (embedded data)") == 1


def test_a_step_that_waits_for_the_device_is_named_with_its_line(shown, results, counted):
    works = [each.record for each in counted(results) if isinstance(each.record, Work)]
    line = "nonzero (moe.py, line 22: x.nonzero())"
    waiting = works[0].model_copy(update={"synchronisations": (line, line)})
    mode = waiting.case.precision
    said = f"{mode}: the host wants a value in {line}, 2 times; no CUDA graph can hold that"
    assert said in section(shown([Result(record=waiting)]), waiting.case.workload).sentences
    assert said not in section(shown([Result(record=works[0])]), waiting.case.workload).sentences


def test_a_mode_that_trained_from_more_seeds_than_another_says_so(shown, results):
    first, second = [each.record for each in results if isinstance(each.record, Quality)][:2]
    assert first.case.workload == second.case.workload
    later = [training.model_copy(update={"seed": training.seed + 2}) for training in second.trainings]
    more = second.model_copy(update={"trainings": (*second.trainings, *later)})
    (said,) = [
        s for s in section(shown([Result(record=first), Result(record=more)]), first.case.workload).sentences if "seeds" in s
    ]
    mode = more.case.precision
    assert said == (
        f"{mode}: trained from 4 seeds, as was the mode that its points are against. A row with fewer seeds shows the "
        "first of them"
    )
