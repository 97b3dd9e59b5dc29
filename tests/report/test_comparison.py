import csv
import io

import pytest

from mpcore.records import FailedTest, Published, Result
from mpcore.report.compare import FORMATS, compare

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
    return list(csv.DictReader(io.StringIO(FORMATS[".csv"](document))))


def values(document, figure, precision, workload="bert-imdb"):
    found = [x for x in lines(document) if (x["figure"], x["precision"], x["workload"]) == (figure, precision, workload)]
    return {x["hardware"]: float(x["value"]) for x in found}


def row(text, *names):
    """The cells of the first line of a table that begins with these, after them."""
    found = [line.split() for line in text.splitlines()]
    return next(cells[len(names) :] for cells in found if cells[: len(names)] == list(names))


def section(text, title):
    return next(part for part in text.split("\n\n") if part.startswith(title))


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
    text = FORMATS[""](compare([on(run, "GPU A"), slower(on(run, "GPU B"), 2, "fp16-amp")]))
    throughput = section(text, "Throughput")
    assert throughput.splitlines()[1].split() == ["workload", "as", "mode", "in", "gpu-a", "gpu-b"]
    assert row(throughput, "bert-imdb", "tiny,", "eager,", "32", "fp16-amp", "reviews/s") == ["256.0", "128.0"]
    assert row(section(text, "Score, accuracy %"), "bert-imdb", "tiny,", "eager,", "32", "fp32") == ["81.00", "81.00"]
    assert "Share of the ceiling" not in text


def test_of_several_runs_of_one_hardware_it_is_the_median(run):
    runs = [on(run, "GPU A"), *(slower(on(run, "GPU B"), factor, "fp16-amp") for factor in (1, 2, 4))]
    document = compare(runs)
    assert values(document, "throughput", "fp16-amp") == {"gpu-a": 256, "gpu-b": 128}
    assert {x["source"] for x in lines(document)} == {"0001_run.json", "median of 3 runs"}
    assert "the median" in FORMATS[""](document)


@pytest.mark.parametrize("change", [{"batch_size": 64}, {"workload_version": 2}], ids=["batch", "version"])
def test_what_cannot_be_compared_has_a_row_of_its_own(run, change):
    steps = run.model_copy(update={"results": tuple(r for r in run.results if r.record.kind == "speed")})
    text = FORMATS[""](compare([on(steps, "GPU A"), on(with_records(steps, "speed", change), "GPU B")]))
    rows = [line.split()[-2:] for line in section(text, "Memory").splitlines() if "fp16-amp" in line]
    assert rows == [["1.000", "-"], ["-", "1.000"]]


def test_scores_of_other_trainings_have_a_row_of_their_own(run):
    pretrained = with_records(run, "quality", {"weights": "DIR/minilm"})
    text = section(FORMATS[""](compare([on(run, "GPU A"), on(pretrained, "GPU B")])), "Score")
    assert "v1, 1,600 rows, random" in " ".join(text.split())
    assert "v1, 1,600 rows, minilm" in " ".join(text.split())


def test_published_figures_have_columns_and_sources(graphs, figures):
    document = compare([graphs], figures)
    text = FORMATS[""](document)
    throughput = section(text, "Throughput")
    assert row(throughput, "bert-imdb", "full,", "graph,", "32", "fp16-amp")[1:] == ["580.0", "[1]"]
    assert "(published)" in throughput
    assert row(section(text, "Speed-up over tf32"), "bert-imdb", "full,", "graph,", "32", "fp16-amp")[1:] == ["1.83", "[1]"]
    assert row(section(text, "Memory, GiB"), "bert-imdb", "full,", "graph,", "32", "fp16-amp")[1:] == ["11.642", "[2]"]
    assert row(section(text, "Score"), "bert-imdb", "full,", "graph,", "32", "fp16-amp")[1:] == ["86.10", "[2]"]
    assert text.endswith("[1] An article: BERT-large\n[2] A paper: BERT-base\n")
    assert [x["published"] for x in lines(document) if "A100" in x["hardware"]] == ["True"] * 4
    assert "T4" not in text


def test_published_figures_of_a_mode_that_is_not_ours_have_rows_of_their_own(run, figures):
    text = section(FORMATS[""](compare([run], figures)), "Throughput")  # tiny, which is never as published
    assert row(text, "bert-imdb", "-", "fp16-amp", "reviews/s") == ["-", "580.0", "[1]"]


def test_a_table_fits_a_terminal_with_two_machines(graphs):
    text = FORMATS[""](compare([on(graphs, "NVIDIA H200"), on(graphs, "NVIDIA H100 80GB HBM3")]))
    assert max(map(len, text.splitlines())) <= 100


def test_what_failed_and_what_diverged_is_said(run, lost):
    failed = FailedTest(test="benchmarks/test_speed.py::test_speed[a]", sentence="it is slow")
    document = compare([on(run, "A"), on(run, "B", results=tuple(lost(run.results)), failed=(failed,), path="b.json")])
    text = FORMATS[""](document)
    assert "b.json: test_speed[a] failed" in text
    assert "b.json: trainings of bert-imdb-fp32-eager-tiny," in text
    assert row(section(text, "Score"), "bert-imdb", "tiny,", "eager,", "32", "fp32") == ["81.00", "diverged"]
    assert [x["value"] for x in lines(document) if x["hardware"] == "b" and x["figure"] == "score"] == [""] * 3


def test_what_is_finite_in_one_run_only_has_changed_most(run, lost):
    none = on(run, "A", results=tuple(lost(run.results)), path="0002_run.json")
    text = FORMATS[""](compare([on(run, "A"), none]))
    assert row(section(text, "Score"), "bert-imdb-fp16-amp-eager-tiny") == ["80.50", "not", "finite", "-"]
    assert row(section(text, "Gradient error"), "bert-imdb-fp16-amp-eager-tiny") == ["5.00e-01", "not", "finite", "-"]
    assert "Score" not in FORMATS[""](compare([none, none]))


@pytest.mark.parametrize("kind", ["speed", "quality", "numerics"])
def test_runs_of_one_kind_of_figures_can_be_compared(run, kind):
    part = run.model_copy(update={"results": tuple(r for r in run.results if r.record.kind == kind)})
    for runs in ([part], [part, part], [on(part, "A"), on(part, "B")], [part, run]):
        for suffix in FORMATS:
            assert FORMATS[suffix](compare(runs))


def test_a_run_with_no_results_can_be_compared(run):
    empty = run.model_copy(update={"results": ()})
    for runs in ([empty], [empty, empty], [empty, run], [on(empty, "A"), run]):
        for suffix in FORMATS:
            assert FORMATS[suffix](compare(runs))


def test_two_equal_runs_have_no_changes(run):
    text = FORMATS[""](compare([run, run]))
    assert "Software, commit and command are the same." in text
    assert "step time 3 of 3" in " ".join(text.split())
    assert "Kernels" not in text
    assert "change" not in [word for line in text.splitlines() for word in line.split()]
    assert "python -m mpcore ab BASE HEAD" in " ".join(text.split())


def test_two_runs_of_one_machine_are_from_a_to_b(graphs):
    machine = graphs.machine.model_copy(update={"software": {"python": "3.12.1", "torch": "2.12.0", "cuda": "13.0"}})
    changed = {"machine": machine, "commit": "f" * 40, "command": "pytest -x", "datetime": "2025-01-01T00:00:00"}
    second = slower(slower(graphs, 1.05, "fp16-amp"), 0.9, "bf16-amp").model_copy(update=changed)
    text = FORMATS[""](compare([graphs, second]))
    assert (
        section(text, "A and B").split("\n")[1].startswith("A -> B: from 0001_run.json (measured 2026-01-02 03:04) to 0002_r")
    )
    assert "B is the older one" in " ".join(text.split())
    assert "python -m mpcore ab 0123456789ab ffffffffffff decides" in " ".join(text.split())
    software = section(text, "Software")
    assert row(software, "torch") == ["2.11.0", "2.12.0"]
    assert row(software, "cuda") == ["-", "13.0"]
    assert "python" not in software.replace("pytest", "")
    assert "Command of A: pytest benchmarks\nCommand of B: pytest -x" in software
    steps = section(text, "Step time, ms").splitlines()[3:]
    assert [line.split() for line in steps] == [
        ["bert-imdb-bf16-amp-graph-full", "19.307", "17.376", "-10.0", "%"],
        ["bert-imdb-fp16-amp-graph-full", "19.214", "20.175", "+5.0", "%"],
    ]
    assert "step time 7 of 9, eager time 9 of 9" in " ".join(text.split())
    assert "bert-imdb-bf16-amp-graph-full, whose step time changed most: a step takes 19.31 ms" in " ".join(text.split())


def test_all_figures_are_compared(run, results):
    other = with_records(with_records(run, "numerics", {"update_error": None}), "speed", {"peak_allocated_bytes": 2**31})
    text = FORMATS[""](compare([run, other]))
    assert row(section(text, "Memory"), "bert-imdb-fp32-eager-tiny") == ["1.000", "2.000", "+100.0", "%"]
    assert row(section(text, "Memory"), "resnet18-mnist-fp32-eager-tiny") == ["-", "2.000", "-"]
    assert row(section(text, "Update error"), "bert-imdb-fp32-eager-tiny") == ["3.00e-02", "not", "finite", "-"]
    trained = next(r.record for r in results if r.record.kind == "quality")
    better = trained.model_copy(
        update={"trainings": tuple(t.model_copy(update={"metrics": {"accuracy": 0.9}}) for t in trained.trainings)}
    )
    pair = [run.model_copy(update={"results": (Result(record=record),)}) for record in (trained, better)]
    assert row(section(FORMATS[""](compare(pair)), "Score"), "bert-imdb-fp32-eager-tiny") == [
        "81.00",
        "90.00",
        "+9.00",
        "points",
    ]


def test_what_only_one_has_or_cannot_be_compared_is_named(run):
    first, second = (run.model_copy(update={"results": part}) for part in (run.results[1:], run.results[:-1]))
    second = with_records(second, "quality", {"data": "a folder"})
    text = FORMATS[""](compare([first, second]))
    assert section(text, "Only in A") == "Only in A\nnumerics of bert-imdb-fp16-amp-eager-tiny"
    assert section(text, "Only in B").rstrip() == "Only in B\nspeed of bert-imdb-fp32-eager-tiny"
    assert "quality of bert-imdb-fp32-eager-tiny: data embedded there, a folder here" in section(text, "Not comparable")


def test_a_file_of_two_runs_has_the_lines_of_both(run):
    found = lines(compare([run, slower(run, 2, "fp16-amp")]))
    names = "workload size execution batch precision hardware figure unit value published setting source"
    assert list(found[0]) == names.split()
    steps = [x for x in found if (x["figure"], x["precision"]) == ("step time", "fp16-amp")]
    assert [(x["source"], float(x["value"]), x["unit"]) for x in steps] == [
        ("0001_run.json", 125, "ms"),
        ("0002_run.json", 250, "ms"),
    ]


@pytest.mark.parametrize("pair", [True, False], ids=["two", "across"])
def test_names_are_text_whatever_they_hold(run, pair):
    named = renamed(run, NASTY)
    document = compare([named, slower(named, 2, "fp16-amp") if pair else on(named, "B")])
    page, markdown = FORMATS[".html"](document), FORMATS[".md"](document)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;|größe `x` 表" in page
    assert "<script" not in page + markdown
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&#124;größe &#96;x&#96; 表" in markdown
    tables = [part.splitlines() for part in markdown.split("\n\n") if part.startswith("|")]
    assert all(len({line.count("|") for line in table}) == 1 for table in tables)
    assert any(x["workload"] == NASTY for x in lines(document))


def test_a_long_name_goes_on_in_the_next_line(run):
    text = FORMATS[""](compare([on(renamed(run, "name" * 100), "A"), on(run, "B")]))
    assert max(map(len, section(text, "Throughput").splitlines())) <= 130


def test_a_terminal_obeys_no_name(run):
    text = FORMATS[""](compare([renamed(run, "red\x1b[31m\nname")]))
    assert "\x1b" not in text
    assert "red [31m name" in text


@pytest.mark.parametrize("count", [1, 500])
def test_runs_of_any_length_can_be_compared(run, many, count):
    long = run.model_copy(update={"results": tuple(many(count))})
    for runs in ([long, long], [on(long, "A"), on(long, "B")]):
        document = compare(runs)
        assert len({x["precision"] for x in lines(document)}) == count
        for suffix in FORMATS:
            assert FORMATS[suffix](document)


def test_steps_beside_those_of_other_trainers_are_compared(run, rivals):
    before, after = rivals[1].record, rivals[1].record.model_copy(update={"theirs": rivals[1].record.ours})
    one, two = (run.model_copy(update={"results": (Result(record=record),)}) for record in (before, after))
    found = section(FORMATS[""](compare([one, two])), "Speed against other trainers, times as fast as Trainer 5.1.0")
    assert row(found, "bert-imdb-fp16-amp-eager-tiny") == ["2.00", "1.00", "-50.0", "%"]


def test_other_trainers_stand_across_hardware(run, rivals):
    with_rivals = run.model_copy(update={"results": (*run.results, *rivals)})
    document = compare([on(with_rivals, "GPU A"), on(with_rivals, "GPU B")])
    assert values(document, "speed against other trainers", "fp16-amp") == {"gpu-a": 2.0, "gpu-b": 2.0}
    [table] = [s.table for s in document.sections if s.title.startswith("Speed against")]
    assert [row[3] for row in table.rows] == ["times as fast as plain PyTorch 2.11.0", "times as fast as Trainer 5.1.0"]
