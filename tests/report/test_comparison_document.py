"""Saved runs beside each other: two of one hardware as what changed, any others across hardware."""

import csv
import io

import pytest
from reading import row, rows, section, sentences, titles

from mpcore.records import Accepted, Blocks, Compilation, Compiled, FailedTest, Published, Result
from mpcore.report.document import Document
from mpcore.report.documents import comparison_document
from mpcore.report.render import FORMATS, render

NASTY = "<script>alert(1)</script>|größe `x` 表"


def on(run, name, **changes):
    hardware = run.machine.hardware.model_copy(update={"name": name, "count": 1})
    return run.model_copy(update={"machine": run.machine.model_copy(update={"hardware": hardware})} | changes)


def renamed(run, name):
    records = [r.record.model_copy(update={"case": r.record.case.model_copy(update={"workload": name})}) for r in run.results]
    return run.model_copy(update={"results": tuple(Result(record=record) for record in records)})


def with_records(run, kind, change):
    """With `change` made to all records of a kind."""
    results = (Result(record=r.record.model_copy(update=change)) if r.record.kind == kind else r for r in run.results)
    return run.model_copy(update={"results": tuple(results)})


def slower(run, factor, precision):
    """With steps of a mode that take longer."""

    def changed(record):
        blocks = record.blocks.model_copy(update={"seconds": tuple(factor * s for s in record.blocks.seconds)})
        return record.model_copy(update={"blocks": blocks})

    results = [
        Result(record=changed(r.record)) if (r.record.kind, r.record.case.precision) == ("speed", precision) else r
        for r in run.results
    ]
    return run.model_copy(update={"results": tuple(results), "path": "0002_run.json"})


def lines(document):
    return list(csv.DictReader(io.StringIO(render(document, "csv"))))


def values(document, figure, precision, workload="bert-imdb"):
    found = [x for x in lines(document) if (x["figure"], x["precision"], x["workload"]) == (figure, precision, workload)]
    return {x["hardware"]: float(x["value"]) for x in found}


def across(document, figure, precision, workload="bert-imdb"):
    """The row of a table across hardware."""
    found = rows(section(document, figure))
    return next(each for each in found if (each["workload"], each["mode"]) == (workload, precision))


@pytest.fixture
def graphs(run, full):
    return run.model_copy(update={"results": tuple(full)})


@pytest.fixture
def figures():
    of = {"workload": "bert-imdb", "precision": "fp16-amp"}
    return [
        Published(source="An article", setting="BERT-large", hardware="A100", speedup=1.83, over="tf32", per_second=580, **of),
        Published(source="A paper", setting="BERT-base", hardware="A100", memory_gb=12.5, metrics={"accuracy": 0.861}, **of),
        Published(source="A third", setting="a set", hardware="T4", workload="resnet50", precision="fp32", per_second=7),
    ]


def test_hardware_is_across_and_cases_are_down(run):
    document = comparison_document([on(run, "GPU A"), slower(on(run, "GPU B"), 2, "fp16-amp")])
    assert document.title == "Across hardware"
    assert across(document, "Throughput", "fp16-amp") == {
        "workload": "bert-imdb",
        "as": "tiny, eager, 32",
        "mode": "fp16-amp",
        "in": "reviews/s",
        "gpu-a": "256.0",
        "gpu-b": "128.0",
    }
    scores = across(document, "Score, accuracy %", "fp32")
    assert (scores["gpu-a"], scores["gpu-b"]) == ("81.00", "81.00")
    assert "Share of the ceiling" not in titles(document)


def test_a_commit_that_does_not_hold_all_changes_says_so(run):
    runs = [on(run, "GPU A", uncommitted=True), on(run, "GPU B")]
    commits = [each["commit"] for each in rows(section(comparison_document(runs), "Runs"))]
    assert commits == ["01234567 with uncommitted changes", "01234567"]


def test_first_it_says_how_many_times_as_fast_as_the_first_hardware_others_are(run):
    both = [run, renamed(run, "resnet50")]
    measured = run.model_copy(update={"results": tuple(result for each in both for result in each.results)})
    slow = slower(renamed(run, "resnet50"), 2, "fp16-amp")
    document = comparison_document([on(measured, "GPU A"), on(run, "GPU B"), on(slow, "GPU B")])
    found = {each.pop("mode"): each for each in rows(section(document, "In short"))}
    assert section(document, "In short").title == "In short: times as fast as gpu-a"
    assert found["fp16-amp"] == {"hardware": "gpu-b", "cases": "2", "median": "0.75", "lowest": "0.50", "highest": "1.00"}
    assert found["fp32"] | {"median": "1.00", "lowest": "1.00", "highest": "1.00"} == found["fp32"]


def test_it_names_workloads_that_are_compared_in_an_older_version(run):
    newer = with_records(run, "speed", {"workload_version": 2})
    newer = with_records(newer, "numerics", {"workload_version": 2})
    both = [on(run, "GPU A"), on(run, "GPU B")]
    found = section(comparison_document([*both, on(newer, "GPU B")]), "In short")
    assert found.lead == "Some cases are of an older version than another run here has: bert-imdb v1."
    assert section(comparison_document(both), "In short").lead == ""


def test_of_hardware_that_has_no_case_in_common_nothing_is_said_in_short(run):
    document = comparison_document([on(run, "GPU A"), on(renamed(run, "resnet50"), "GPU B")])
    assert not any(title.startswith("In short") for title in titles(document))


def test_of_several_runs_of_one_hardware_it_is_the_median(run):
    runs = [on(run, "GPU A"), *(slower(on(run, "GPU B"), factor, "fp16-amp") for factor in (1, 2, 4))]
    document = comparison_document(runs)
    assert values(document, "throughput", "fp16-amp") == {"gpu-a": 256, "gpu-b": 128}
    assert {x["source"] for x in lines(document)} == {"0001_run.json", "median of 3 runs"}
    assert any("the median" in said for said in sentences(document))


def test_accepted_runs_from_before_a_case_was_reset_are_not_in_its_median(run):
    name = next(r.record.name for r in run.results if r.record.kind == "speed" and r.record.case.precision == "fp16-amp")
    times = (f"2026-01-0{day}T00:00:00+00:00" for day in (1, 2))
    old, new = (Accepted(reason="so", datetime=time, reset=(name,)) for time in times)
    runs = [on(run, "GPU A"), on(run, "GPU B", accepted=old), on(slower(run, 2, "fp16-amp"), "GPU B", accepted=new)]
    assert values(comparison_document(runs), "throughput", "fp16-amp") == {"gpu-a": 256, "gpu-b": 128}
    assert values(comparison_document(runs[::-1]), "throughput", "fp16-amp") == {"gpu-a": 256, "gpu-b": 128}


def launched(run, seconds, precision="fp16-amp"):
    """With another eager time of a graph."""
    eager = Blocks(steps=1, seconds=(seconds,))
    results = (
        Result(record=r.record.model_copy(update={"eager": eager}))
        if (r.record.kind, r.record.case.precision) == ("speed", precision)
        else r
        for r in run.results
    )
    return run.model_copy(update={"results": tuple(results)})


def test_of_eager_times_it_is_the_range(graphs):
    runs = [on(graphs, "GPU A"), *(on(launched(graphs, seconds), "GPU B") for seconds in (0.04312, 0.0565, 0.0344))]
    document = comparison_document(runs)
    found = across(document, "Eager time, ms", "fp16-amp")
    assert (found["gpu-a"], found["gpu-b"]) == ("29.7", "34.4-56.5")
    times = [x for x in lines(document) if (x["figure"], x["precision"]) == ("eager time", "fp16-amp")]
    assert [(x["highest"], x["source"]) for x in times] == [("", "0001_run.json"), ("56.5", "range of 3 runs")]
    assert "figures are the median. Eager times and what was compiled are the range." in section(document, "Runs").sentences[0]


def compiled(run, seconds=20.0, warm=False, graphs=3, breaks=0, again=0):
    """All its steps."""
    of = {"graph_breaks": breaks * ("item (model.py, line 12)",), "recompilations": again * ("size (model.py, line 3)",)}
    return with_records(run, "speed", {"compilation": Compilation(seconds=seconds, warm=warm, graphs=graphs, **of)})


def test_what_was_compiled_is_listed_where_it_differs_or_is_amiss(graphs):
    document = comparison_document([on(compiled(graphs), "GPU A"), on(compiled(graphs, 30.0, breaks=2), "GPU B")])
    assert across(document, "Compile time, s, not from a cache", "fp16-amp")["gpu-b"] == "30.0"
    breaks = across(document, "Graph breaks, a step", "fp16-amp")
    assert (breaks["gpu-a"], breaks["gpu-b"]) == ("0", "2")
    assert not {"Compiled graphs, a step", "Recompilations, a step"} & set(titles(document))


def test_what_is_amiss_on_all_hardware_is_listed_and_graphs_where_they_differ(graphs):
    runs = [on(compiled(graphs, again=1), "GPU A"), *(on(compiled(graphs, graphs=n, again=1), "GPU B") for n in (3, 4, 4))]
    document = comparison_document(runs)
    assert across(document, "Recompilations, a step", "fp16-amp")["gpu-b"] == "1"
    assert across(document, "Compiled graphs, a step", "fp16-amp")["gpu-b"] == "3-4"
    assert "Graph breaks, a step" not in titles(document)


def test_a_time_to_compile_is_compared_with_one_that_found_as_much_in_a_cache(graphs):
    before = compiled(graphs)
    cold = comparison_document([before, compiled(graphs, 40.0, graphs=4, breaks=1)])
    assert list(rows(section(cold, "Compile time"))[0].values())[1:] == ["20.0", "40.0", "+100.0 %"]
    assert list(rows(section(cold, "Compiled graphs"))[0].values())[1:] == ["3", "4", "+33.3 %"]
    assert list(rows(section(cold, "Graph breaks"))[0].values())[1:] == ["0", "1", "-"]
    assert "For a compile time it is the gate's margin, 50 %." in section(cold, "Not listed").sentences[0]
    assert "Compile time" not in " ".join(titles(comparison_document([before, compiled(graphs, 4.0, warm=True)])))


def test_of_compiled_steps_that_were_only_counted_graphs_are_known(run, full, counted):
    record = next(r.record for r in counted(full) if r.record.kind == "work")
    found = [record.model_copy(update={"compiled": Compiled(graphs=n, graph_breaks=("item",))}) for n in (2, 3)]
    pair = [run.model_copy(update={"results": (Result(record=record),)}) for record in found]
    assert list(rows(section(comparison_document(pair), "Compiled graphs"))[0].values())[1:] == ["2", "3", "+50.0 %"]


@pytest.mark.parametrize(("seconds", "listed"), [(0.0297 * 1.8, False), (0.0297 * 1.9, True)])
def test_an_eager_time_has_changed_where_no_machine_start_makes_it_so(graphs, seconds, listed):
    document = comparison_document([graphs, launched(graphs, seconds)])
    assert ("Eager time, ms" in titles(document)) is listed


def test_any_change_of_what_a_step_does_is_listed(run, full, counted):
    before, after = (run.model_copy(update={"results": tuple(counted(full, casts))}) for casts in (9998, 9999))
    document = comparison_document([before, after])
    assert section(document, "Casts, a step").tables[0].rows[0][1:] == ["9,998", "9,999", "+0.0 %"]
    assert len(section(document, "Casts, a step").tables[0].rows) == 9
    assert "casts 0 of 9, launches 9 of 9, saved for the backward pass 9 of 9" in section(document, "Not listed").sentences[0]


@pytest.mark.parametrize("change", [{"batch_size": 64}, {"workload_version": 2}], ids=["batch", "version"])
def test_what_cannot_be_compared_has_a_row_of_its_own(run, change):
    steps = run.model_copy(update={"results": tuple(r for r in run.results if r.record.kind == "speed")})
    document = comparison_document([on(steps, "GPU A"), on(with_records(steps, "speed", change), "GPU B")])
    found = [each for each in rows(section(document, "Memory")) if each["mode"] == "fp16-amp"]
    assert [(each["gpu-a"], each["gpu-b"]) for each in found] == [("1.000", "-"), ("-", "1.000")]


def test_scores_of_other_trainings_have_a_row_of_their_own(run):
    pretrained = with_records(run, "accuracy", {"weights": "DIR/minilm"})
    found = rows(section(comparison_document([on(run, "GPU A"), on(pretrained, "GPU B")]), "Score"))
    assert {each["setting"] for each in found} == {"v1, 1,600 rows, random", "v1, 1,600 rows, minilm"}


def test_published_figures_have_columns_and_sources(graphs, figures):
    document = comparison_document([graphs], figures)
    published = "A100 (published)"
    assert across(document, "Throughput", "fp16-amp")[published] == "580.0 [1]"
    assert across(document, "Speed-up over tf32", "fp16-amp")[published] == "1.83 [1]"
    assert across(document, "Memory, GiB", "fp16-amp")[published] == "11.642 [2]"
    assert across(document, "Score", "fp16-amp")[published] == "86.10 [2]"
    assert document.sections[-1].sentences[1:] == ["[1] An article: BERT-large", "[2] A paper: BERT-base"]
    assert [x["published"] for x in lines(document) if "A100" in x["hardware"]] == ["True"] * 4
    assert "T4" not in render(document, "markdown")


def test_published_figures_of_a_mode_that_is_not_ours_have_rows_of_their_own(run, figures):
    found = rows(section(comparison_document([run], figures), "Throughput"))  # tiny, which is never as published
    [published] = [each for each in found if each["A100 (published)"] != "-"]
    assert (published["as"], published["some-gpu"], published["A100 (published)"]) == ("-", "-", "580.0 [1]")


def test_a_table_fits_a_terminal_with_two_machines(graphs):
    document = comparison_document([on(graphs, "NVIDIA H200"), on(graphs, "NVIDIA H100 80GB HBM3")])
    assert max(map(len, render(document, "terminal").splitlines())) <= 100


def test_what_failed_and_what_diverged_is_said(run, lost):
    failed = FailedTest(test="benchmarks/test_speed.py::test_speed[a]", sentence="it is slow")
    second = on(run, "B", results=tuple(lost(run.results)), failed=(failed,), path="b.json")
    document = comparison_document([on(run, "A"), second])
    said = section(document, "What failed or diverged").sentences
    assert said[0] == "0001_run.json: trainings of resnet18-mnist-fp16-pure-eager-tiny diverged"
    assert said[1] == "b.json: test_speed[a] failed"
    assert said[2].startswith("b.json: trainings of bert-imdb-fp32-eager-tiny,")
    scores = across(document, "Score", "fp32")
    assert (scores["a"], scores["b"]) == ("81.00", "diverged")
    assert [x["value"] for x in lines(document) if x["hardware"] == "b" and x["figure"] == "score"] == [""] * 3


def test_what_is_finite_in_one_run_only_has_changed_most(run, lost):
    none = on(run, "A", results=tuple(lost(run.results)), path="0002_run.json")
    document = comparison_document([on(run, "A"), none])
    case = "bert-imdb-fp16-amp-eager-tiny"
    assert list(row(section(document, "Score"), case).values())[1:] == ["80.50", "not finite", "-"]
    assert list(row(section(document, "Gradient error"), case).values())[1:] == ["5.00e-01", "not finite", "-"]
    assert not any(title.startswith("Score") for title in titles(comparison_document([none, none])))


@pytest.mark.parametrize("kind", ["speed", "accuracy", "numerics"])
def test_runs_of_one_kind_of_figures_can_be_compared(run, kind):
    part = run.model_copy(update={"results": tuple(r for r in run.results if r.record.kind == kind)})
    for runs in ([part], [part, part], [on(part, "A"), on(part, "B")], [part, run]):
        for name in FORMATS:
            assert render(comparison_document(runs), name)


def test_a_run_with_no_results_can_be_compared(run):
    empty = run.model_copy(update={"results": ()})
    for runs in ([empty], [empty, empty], [empty, run], [on(empty, "A"), run]):
        for name in FORMATS:
            assert render(comparison_document(runs), name)


def test_two_equal_runs_have_no_changes(run):
    document = comparison_document([run, run])
    assert titles(document) == ["A and B", "Software", "Not listed", "What failed or diverged"]
    assert section(document, "Software").sentences == ["Software, commit and command are the same."]
    assert "step time 3 of 3" in section(document, "Not listed").sentences[0]
    assert "python -m mpcore ab BASE HEAD" in section(document, "A and B").sentences[1]


def test_two_runs_of_one_machine_are_from_a_to_b(graphs):
    machine = graphs.machine.model_copy(update={"software": {"python": "3.12.1", "torch": "2.12.0", "cuda": "13.0"}})
    changed = {"machine": machine, "commit": "f" * 40, "command": "pytest -x", "datetime": "2025-01-01T00:00:00"}
    second = slower(slower(graphs, 1.05, "fp16-amp"), 0.9, "bf16-amp").model_copy(update=changed)
    document = comparison_document([graphs, second])
    sides, advice = section(document, "A and B").sentences
    assert sides.startswith("A -> B: from 0001_run.json (measured 2026-01-02 03:04) to 0002_run.json")
    assert "B is the older one" in sides
    assert "python -m mpcore ab 0123456789ab ffffffffffff decides" in advice
    software = section(document, "Software")
    assert software.tables[0].rows == [
        ["torch", "2.11.0", "2.12.0"],
        ["commit", "0123456789ab", "ffffffffffff"],
        ["cuda", "-", "13.0"],
    ]
    assert software.sentences == ["Command of A: pytest benchmarks", "Command of B: pytest -x"]
    assert section(document, "Step time, ms").tables[0].rows == [
        ["bert-imdb-bf16-amp-graph-full", "19.307", "17.376", "-10.0 %"],
        ["bert-imdb-fp16-amp-graph-full", "19.214", "20.175", "+5.0 %"],
    ]
    assert "step time 7 of 9, eager time 9 of 9" in section(document, "Not listed").sentences[0]
    assert "For an eager time it is the 85 % that machine starts differ by" in section(document, "Not listed").sentences[0]
    [kernels] = section(document, "Kernels").sentences
    assert kernels.startswith("bert-imdb-bf16-amp-graph-full, whose step time changed most: a step takes 19.31 ms")


def test_all_figures_are_compared(run, results):
    other = with_records(with_records(run, "numerics", {"update_error": None}), "speed", {"peak_allocated_bytes": 2**31})
    document = comparison_document([run, other])
    memory = section(document, "Memory")
    assert list(row(memory, "bert-imdb-fp32-eager-tiny").values())[1:] == ["1.000", "2.000", "+100.0 %"]
    assert list(row(memory, "resnet18-mnist-fp32-eager-tiny").values())[1:] == ["-", "2.000", "-"]
    updates = row(section(document, "Update error"), "bert-imdb-fp32-eager-tiny")
    assert list(updates.values())[1:] == ["3.00e-02", "not finite", "-"]
    trained = next(r.record for r in results if r.record.kind == "accuracy")
    better = trained.model_copy(
        update={"trainings": tuple(t.model_copy(update={"metrics": {"accuracy": 0.9}}) for t in trained.trainings)}
    )
    pair = [run.model_copy(update={"results": (Result(record=record),)}) for record in (trained, better)]
    scores = row(section(comparison_document(pair), "Score"), "bert-imdb-fp32-eager-tiny")
    assert list(scores.values())[1:] == ["81.00", "90.00", "+9.00 points"]


def test_what_only_one_has_or_cannot_be_compared_is_named(run):
    first, second = (run.model_copy(update={"results": part}) for part in (run.results[1:], run.results[:-1]))
    second = with_records(second, "accuracy", {"data": "a folder"})
    document = comparison_document([first, second])
    assert section(document, "Only in A").sentences == ["numerics of bert-imdb (eager-tiny: fp16-amp)"]
    assert section(document, "Only in B").sentences == ["speed of bert-imdb (eager-tiny: fp32)"]
    other = section(document, "Not comparable").sentences
    assert other[0].startswith("accuracy of bert-imdb (eager-tiny: fp32 and fp16-amp): ")
    assert "a folder" in other[0]


def test_a_file_of_two_runs_has_the_lines_of_both(run):
    found = lines(comparison_document([run, slower(run, 2, "fp16-amp")]))
    names = "workload size execution batch precision hardware figure unit value published setting source highest software"
    assert list(found[0]) == names.split()
    steps = [x for x in found if (x["figure"], x["precision"]) == ("step time", "fp16-amp")]
    assert [(x["source"], float(x["value"]), x["unit"]) for x in steps] == [
        ("0001_run.json", 125, "ms"),
        ("0002_run.json", 250, "ms"),
    ]


@pytest.mark.parametrize("pair", [True, False], ids=["two", "across"])
def test_names_are_text_whatever_they_hold(run, pair):
    named = renamed(run, NASTY)
    document = comparison_document([named, slower(named, 2, "fp16-amp") if pair else on(named, "B")])
    page, markdown = render(document, "html"), render(document, "markdown")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;|größe `x` 表" in page
    assert "<script" not in page + markdown
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&#124;größe &#96;x&#96; 表" in markdown
    tables = [part.splitlines() for part in markdown.split("\n\n") if part.startswith("|")]
    assert all(len({line.count("|") for line in table}) == 1 for table in tables)
    assert any(x["workload"] == NASTY for x in lines(document))


def test_a_long_name_goes_on_in_the_next_line(run):
    document = comparison_document([on(renamed(run, "name" * 100), "A"), on(run, "B")])
    table = Document("", [section(document, "Throughput")])
    assert max(map(len, render(table, "terminal").splitlines())) <= 100


@pytest.mark.parametrize("count", [1, 500])
def test_runs_of_any_length_can_be_compared(run, many, count):
    long = run.model_copy(update={"results": tuple(many(count))})
    for runs in ([long, long], [on(long, "A"), on(long, "B")]):
        document = comparison_document(runs)
        assert len({x["precision"] for x in lines(document)}) == count
        for name in FORMATS:
            assert render(document, name)


def test_steps_beside_those_of_other_trainers_are_compared(run, trainers):
    before, after = trainers[1].record, trainers[1].record.model_copy(update={"theirs": trainers[1].record.ours})
    one, two = (run.model_copy(update={"results": (Result(record=record),)}) for record in (before, after))
    found = section(comparison_document([one, two]), "Speed against other trainers, times as fast as Trainer 5.1.0")
    assert found.tables[0].rows == [["bert-imdb-fp16-amp-eager-tiny", "2.00", "1.00", "-50.0 %"]]


def test_other_trainers_stand_across_hardware(run, trainers):
    beside = run.model_copy(update={"results": (*run.results, *trainers)})
    document = comparison_document([on(beside, "GPU A"), on(beside, "GPU B")])
    assert values(document, "speed against other trainers", "fp16-amp") == {"gpu-a": 2.0, "gpu-b": 2.0}
    found = rows(section(document, "Speed against"))
    assert [each["in"] for each in found] == ["times as fast as plain PyTorch 2.11.0", "times as fast as Trainer 5.1.0"]


def test_what_was_not_read_stands_at_the_end(run):
    document = comparison_document([run], unreadable=["cannot read x.json"])
    assert (document.sections[-1].title, document.sections[-1].sentences) == ("Not read", ["cannot read x.json"])


def test_figures_that_other_software_computed_are_marked(run):
    hardware = run.machine.hardware.model_copy(update={"name": "Other GPU"})
    newer = run.machine.model_copy(update={"hardware": hardware, "software": {"torch": "2.13.0"}})
    third = newer.model_copy(update={"hardware": hardware.model_copy(update={"name": "Third GPU"})})
    others = [run.model_copy(update={"machine": machine, "path": f"{n}.json"}) for n, machine in enumerate((newer, third))]
    document = comparison_document([run, *others])
    (cells,) = [r for r in rows(section(document, "Throughput")) if (r["workload"], r["mode"]) == ("bert-imdb", "fp32")]
    value = cells["some-gpu"]
    assert (cells["other-gpu"], cells["third-gpu"]) == (f"{value} [a]", f"{value} [a]")
    assert section(document, "Software").sentences == ["without a mark: torch 2.11.0", "[a]: torch 2.13.0"]


@pytest.fixture
def on_other(run):
    """on_other(gpus, **software): the same run on another GPU, whose driver is the same unless given; on so many of them."""

    def on_other(gpus=1, **software):
        hardware = run.machine.hardware.model_copy(update={"name": "Other GPU"})
        machine = run.machine.model_copy(update={"hardware": hardware, "software": software})
        return spread(run, gpus).model_copy(update={"machine": machine, "path": "other.json"})

    return on_other


def spread(run, gpus):
    def of(result):
        case = result.record.case.model_copy(update={"gpus": gpus, "strategy": "ddp" if gpus > 1 else "single"})
        return result.model_copy(update={"record": result.record.model_copy(update={"case": case})})

    return run.model_copy(update={"results": tuple(map(of, run.results))})


def marked(document):
    return {cell for cells in rows(section(document, "Throughput")) if (cell := cells["other-gpu"].partition(" ")[2])}


@pytest.mark.parametrize(
    ("gpus", "software", "said"),
    [
        (1, {"driver": "590"}, ["without a mark: driver 580", "[a]: driver 590"]),
        (1, {"transformers": "5.18.0"}, ["without a mark: transformers 5.17.0", "[a]: transformers 5.18.0"]),
        (1, {"nccl": "2.29.1", "pytest": "9.2.0"}, []),
        (2, {"nccl": "2.29.1"}, ["without a mark: nccl 2.28.9", "[a]: nccl 2.29.1"]),
        (1, {"triton": "3.6.0"}, []),  # which the first run did not keep
    ],
)
def test_software_is_other_where_it_is_for_the_gate(run, on_other, gpus, software, said):
    known = {"torch": "2.11.0", "transformers": "5.17.0", "pytest": "9.1.1", "nccl": "2.28.9", "driver": "580"}
    first = spread(run.model_copy(update={"machine": run.machine.model_copy(update={"software": known})}), gpus)
    document = comparison_document([first, on_other(gpus, **known | software)])
    assert [each.sentences for each in document.sections if each.title == "Software"] == ([said] if said else [])
    assert marked(document) == ({"[a]"} if said else set())


def test_a_median_over_software_is_marked_with_all_of_it(run, on_other):
    several = [run, on_other(torch="2.11.0"), on_other(torch="2.13.0")]
    document = comparison_document(several)
    assert section(document, "Software").sentences == ["without a mark: torch 2.11.0", "[a]: torch 2.11.0 / 2.13.0"]
    found = {x["software"] for x in lines(document) if x["hardware"] == "other-gpu"}
    assert found == {"torch 2.11.0 / 2.13.0"}
