"""A saved run, with all that was measured."""

import pytest
from reading import flat, row, rows, section, titles

from mpcore.records import Accepted, FailedTest
from mpcore.report.documents import run_document
from mpcore.report.render import render
from mpcore.report.render.markdown import escaped

NASTY = "<script>alert(1)</script>|größe `x` *a*\n# T"
BERT, RESNET = "bert-imdb, tiny, eager", "resnet18-mnist, tiny, eager"


def of_kind(run, *kinds):
    return run.model_copy(update={"results": tuple(r for r in run.results if r.record.kind in kinds)})


def part(document, workload, title):
    """A section of a workload, None where there is none."""
    inner = section(document, workload).sections
    return next((each for each in inner if each.title.startswith(title)), None)


def test_it_begins_with_how_the_run_was_made(run):
    document = run_document(run)
    made = document.sections[0]
    assert document.title == "0001_run.json"
    assert made.commands == ["pytest benchmarks"]
    assert made.lead == (
        "2 x Some GPU, 80 GiB, 16 CPU cores (Some CPU); python 3.12.1, torch 2.11.0; commit 0123456789ab; 2026-01-02 03:04 UTC."
    )


def test_an_unknown_commit_is_said_to_be_unknown(run):
    assert "commit unknown;" in run_document(run.model_copy(update={"commit": None})).sections[0].lead


def test_a_commit_that_does_not_hold_all_changes_says_so(run):
    lead = run_document(run.model_copy(update={"uncommitted": True})).sections[0].lead
    assert "commit 0123456789ab with uncommitted changes;" in lead


def test_a_run_that_was_ended_says_so_where_it_begins(run):
    assert (
        run_document(run.model_copy(update={"missed": 13}))
        .sections[0]
        .lead.endswith("03:04 UTC; ended before it reached 13 more tests.")
    )


def test_each_workload_has_a_heading_in_the_order_of_the_run(run):
    assert [each.title for each in run_document(run).sections[1:]] == [BERT, RESNET]


@pytest.mark.parametrize(
    ("title", "note", "header", "cells"),
    [
        (
            "Speed",
            "Batch of 32 reviews, random weights; medians of 2 or more blocks of each mode, "
            "in turns with its references where they are close.",
            ["mode", "step ms", "reviews/s", "x fp32", "x tf32", "TFLOP/s", "GiB", "reserved"],
            ["fp16-amp", "125.000", "256", "2.00", "1.50", "0.0", "1.00", "1.00"],
        ),
        (
            "Trainings",
            "1,600 reviews to train, 100 to test (embedded); weights: random; 200 steps of 32; seeds 0, 1;",
            [
                "mode",
                "train s",
                "reviews/s",
                "evaluation s",
                "accuracy %",
                "sd",
                "points over fp32",
                "precision",
                "recall",
                "f1",
            ],
            ["fp16-amp", "10.50", "611", "1.50", "80.50", "2.12", "-0.50", "50.00%", "25.00%", "12.50%"],
        ),
        (
            "Errors against FP64",
            "One batch of 32 reviews, random weights, dropout off.",
            ["mode", "loss error", "gradient error", "error of 20 updates", "flushed to zero", "FLOPs in 16 bits"],
            ["fp16-amp", "2.0e-03", "5.0e-01", "3.0e-02", "0.0e+00", "75%"],
        ),
    ],
)
def test_a_table_has_a_note_and_a_row_for_each_mode(run, title, note, header, cells):
    found = part(run_document(run), BERT, title)
    assert note in found.lead
    [table] = found.tables
    assert (list(table.headings), table.rows[1]) == (header, cells)
    assert [line[0] for line in table.rows] == ["fp32", "fp16-amp"]


@pytest.mark.parametrize(("precision", "seed"), [("fp32", 0), ("fp32", 1), ("fp16-amp", 0), ("fp16-amp", 1)])
def test_trainings_are_as_long_as_the_longest_of_any_mode_and_seed(run, precision, seed):
    def cut(result):
        record = result.record
        if record.kind != "accuracy" or record.case.workload != "bert-imdb":
            return result
        trainings = tuple(
            t.model_copy(update={"steps": 150 if (record.case.precision, t.seed) == (precision, seed) else 9})
            for t in record.trainings
        )
        return result.model_copy(update={"record": record.model_copy(update={"trainings": trainings})})

    document = run_document(run.model_copy(update={"results": tuple(map(cut, run.results))}))
    assert "; 150 steps of 32;" in part(document, BERT, "Trainings").lead


def test_a_training_of_an_own_step_was_not_tested(run):
    """It has no rows for that."""

    def own(result):
        changed = {"rows": {"train": 1600}, "data": "its own", "weights": "its own"} if result.record.kind == "accuracy" else {}
        return result.model_copy(update={"record": result.record.model_copy(update=changed)})

    document = run_document(run.model_copy(update={"results": tuple(map(own, run.results))}))
    assert "1,600 reviews to train (its own); weights: its own;" in part(document, BERT, "Trainings").lead


@pytest.fixture
def graphs(run, full):
    """graphs(precision, changes): the speed of a run on a GPU, with changes to that of `precision`, or of all modes."""

    def graphs(precision=None, others=(), **changes):
        results = [
            r.model_copy(update={"record": r.record.model_copy(update=changes)})
            if r.record.kind == "speed" and precision in (None, r.record.case.precision)
            else r
            for r in full
        ]
        return section(run_document(run.model_copy(update={"results": (*results, *others)})), "Speed")

    return graphs


def test_the_table_of_a_graph_has_its_eager_step_its_ceiling_its_energy_and_its_pool(graphs):
    found = graphs()
    assert found.lead == "Batch of 32 reviews, random weights; medians of 2 or more blocks of each mode."
    assert row(found, "fp16-amp") == {
        "mode": "fp16-amp",
        "step ms": "19.214",
        "eager ms": "29.7",
        "reviews/s": "1,665",
        "x fp32": "4.55",
        "x tf32": "1.57",
        "TFLOP/s": "312.3",
        "% of ceiling": "45",
        "J a step": "9.61",
        "GiB": "10.00",
        "reserved": "12.00",
        "graph's pool": "8.00",
    }


def test_what_a_step_does_has_a_table_of_its_own(run, full, counted):
    found = section(run_document(run.model_copy(update={"results": tuple(counted(full))})), "What a step does")
    assert row(found, "fp16-amp") == {"mode": "fp16-amp", "casts": "98", "launches": "1,234", "saved GiB": "0.250"}
    assert len(found.tables[0].rows) == 9


def test_how_far_references_drifted_is_said_with_its_sign(graphs, drifted):
    lead = graphs(others=[drifted({"fp32": 0.0012, "tf32": -0.0345})]).lead
    assert lead.endswith("of each mode. From the beginning to the end of the workload: fp32 +0.12 %, tf32 -3.45 %.")


def test_one_mode_beside_which_others_were_on_the_gpu_is_enough(graphs, full):
    busy = full[0].record.gpu.model_copy(update={"other_processes": 3})
    assert graphs("fp16-amp", gpu=busy).lead.endswith("of each mode. Other processes were on the GPU.")


def test_one_reference_that_took_turns_is_enough_to_say_so(graphs, full):
    amp = next(r.record for r in full if (r.record.kind, r.record.case.precision) == ("speed", "fp16-amp"))
    close = amp.references["tf32"].model_copy(update={"rounds": amp.blocks})
    lead = graphs("fp16-amp", references=amp.references | {"tf32": close}).lead
    assert lead.endswith("of each mode, in turns with its references where they are close.")


def test_each_mode_that_was_timed_says_why(run):
    document = run_document(run)
    assert part(document, BERT, "Speed").sentences == [
        "fp32: not profiled.",
        "fp16-amp: not profiled.",
    ]
    assert part(document, RESNET, "Speed").sentences == ["fp32: not profiled."]


def test_what_a_mode_says_of_itself_stands_with_what_sets_the_time(graphs):
    said = graphs("fp16-amp", remark="12 layers converted").sentences
    assert [sentence.endswith(". 12 layers converted.") for sentence in said] == [i == 2 for i in range(9)]


def test_comparisons_with_other_trainers_stand_at_the_end(run, trainers):
    document = run_document(run.model_copy(update={"results": (*trainers, *run.results)}))
    *others, last = document.sections
    assert others == run_document(run).sections
    assert last.title == "Against other trainers"
    steps, training = (list(each.values()) for each in rows(last))
    assert steps == [
        "resnet18-mnist",
        "fp16-amp",
        "eager",
        "plain PyTorch 2.11.0",
        "25.000",
        "15.625",
        "0.61",
        "-",
        "-",
        "failed",
    ]
    assert training == ["bert-imdb", "fp16-amp", "eager", "Trainer 5.1.0", "50.000", "100.000", "2.00", "91.25", "91.00", "ok"]


def test_comparisons_alone_have_no_other_table(run, trainers):
    assert titles(run_document(run.model_copy(update={"results": tuple(trainers)}))) == ["Against other trainers"]


def test_what_was_not_measured_is_a_dash(run):
    found = row(part(run_document(run), BERT, "Speed"), "fp32")
    assert (found["x fp32"], found["x tf32"]) == ("-", "-")


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        (("speed",), ["Speed", "Verdicts"]),
        (("accuracy",), ["Trainings", "Confusion matrices, seed 0 (rows: truth)", "Verdicts"]),
        (("numerics",), ["Errors against FP64", "Verdicts"]),
    ],
)
def test_what_was_not_measured_has_no_section(run, kinds, expected):
    assert [each.title for each in section(run_document(of_kind(run, *kinds)), BERT).sections] == expected


def test_a_mode_stands_only_in_the_tables_of_what_was_measured_of_it(run):
    document = run_document(run)
    modes = {
        title: [each["mode"] for each in rows(part(document, RESNET, title))] for title in ("Speed", "Trainings", "Verdicts")
    }
    assert modes == {"Speed": ["fp32"], "Trainings": ["fp16-pure"], "Verdicts": ["fp32", "fp16-pure"]}


def test_confusion_matrices_are_spelt_out(run):
    document = run_document(run)
    title = "Confusion matrices, seed 0 (rows: truth)"
    assert part(document, BERT, title).sentences == [f"{mode}: TN 40, FP 10, FN 5, TP 45" for mode in ("fp32", "fp16-amp")]
    assert part(document, RESNET, title).sentences == ["fp16-pure: 1 2 3 / 4 5 6 / 7 8 9; diverged at step 9: the loss is nan"]


def test_metrics_after_each_epoch_are_those_of_the_first_seed(run):
    def tested(result):
        record = result.record
        if record.kind != "accuracy" or record.case.precision != "fp32":
            return result
        epochs = ({"accuracy": 0.5}, {"accuracy": None}, {"accuracy": 0.75})
        first, *others = record.trainings
        trainings = (first.model_copy(update={"epochs": epochs}), *others)
        return result.model_copy(update={"record": record.model_copy(update={"trainings": trainings})})

    document = run_document(run.model_copy(update={"results": tuple(map(tested, run.results))}))
    assert part(document, BERT, "accuracy after each epoch, seed 0").sentences == ["fp32: 0.500, -, 0.750"]
    assert part(run_document(run), BERT, "accuracy after") is None


def test_confusion_matrices_stand_under_their_own_execution(run):
    moved = [
        r.model_copy(
            update={"record": r.record.model_copy(update={"case": r.record.case.model_copy(update={"execution": "graph"})})}
        )
        for r in run.results
    ]
    document = run_document(run.model_copy(update={"results": (*run.results, *moved)}))
    assert [each.title for each in document.sections[1:]] == [
        BERT,
        "bert-imdb, tiny, graph",
        RESNET,
        "resnet18-mnist, tiny, graph",
    ]
    assert len(part(document, "bert-imdb, tiny, graph", "Confusion").sentences) == 2


def test_the_last_table_of_a_workload_holds_the_verdicts(run):
    last = section(run_document(run), BERT).sections[-1]
    assert list(last.tables[0].headings) == ["mode", "gate", "what failed"]
    assert last.tables[0].rows == [["fp32", "ok", ""], ["fp16-amp", "failed", "gradient error"]]


def test_what_a_mode_is_known_for_is_said_and_is_no_failure(run, worsened):
    results = worsened([r for r in run.results if r.passed], "accuracy", "accuracy", known=True)
    found = part(run_document(run.model_copy(update={"results": tuple(results)})), BERT, "Verdicts")
    assert [each["gate"] for each in rows(found)] == ["ok", "known"]


def test_a_run_of_nothing_is_how_it_was_made_alone(run):
    assert len(flat(run_document(run.model_copy(update={"results": ()})).sections)) == 1


def test_names_are_text_whatever_they_hold(run):
    """In headings, tables, lists and the command: no cell, tag, heading or emphasis comes of it."""
    of = {"workload": NASTY, "precision": NASTY}
    named = [
        result.model_copy(
            update={
                "record": result.record.model_copy(update={"case": result.record.case.model_copy(update=of), "unit": NASTY})
            }
        )
        for result in run.results[:1]
    ]
    changed = run.model_copy(update={"results": tuple(named), "command": NASTY})
    _, _, command, *rest = render(run_document(changed), "markdown").split("\n\n")
    assert command == "`` <script>alert(1)</script>|größe `x` *a* # T ``"
    text = "\n\n".join(rest)
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&#124;größe &#96;x&#96; &#42;a&#42; &#35; T" in text
    headings = [line for line in text.splitlines() if line.startswith("#")]
    assert headings == [f"### {escaped(NASTY)}, tiny, eager", "#### Speed", "#### Verdicts"]
    tables = [part.splitlines() for part in rest if part.startswith("|")]
    assert tables
    assert all(len({line.count("|") for line in table}) == 1 for table in tables)


def test_what_failed_is_said_first(run):
    test = FailedTest(test="benchmarks/test_speed.py::test_speed[bert-imdb-fp32-eager-tiny]", sentence="its GPU was slow")
    failed = run.model_copy(update={"failed": (test,)})
    second = run_document(failed).sections[1]
    assert (second.title, second.sentences) == ("Failures", ["test_speed[bert-imdb-fp32-eager-tiny]: its GPU was slow"])
    allowed = Accepted(reason="its GPU was slow", datetime="2026-01-02T03:04:05+00:00")
    accepted = run_document(failed.model_copy(update={"accepted": allowed}))
    assert accepted.sections[1].title == "Accepted, though these failed"


def of_batch(result, size):
    case = result.record.case.model_copy(update={"batch_size": size})
    return result.model_copy(update={"record": result.record.model_copy(update={"case": case, "batch_size": size})})


def test_several_sizes_of_batch_have_a_table_in_order(run):
    timed = of_kind(run, "speed").results[:2]
    document = run_document(run.model_copy(update={"results": tuple(of_batch(r, n) for n in (128, 64) for r in timed)}))
    assert [title for title in titles(document) if "," in title][:2] == [f"{BERT}, batches of 128", f"{BERT}, batches of 64"]
    found = rows(section(document, "bert-imdb, by size of batch"))
    assert [(each["as"], each["batch"], each["mode"]) for each in found] == [
        ("eager", size, mode) for size in ("64", "128") for mode in ("fp32", "fp16-amp")
    ]


def test_one_size_of_batch_has_no_table_of_sizes(run):
    document = run_document(run.model_copy(update={"results": tuple(of_batch(r, 64) for r in run.results)}))
    assert not any("by size of batch" in title for title in titles(document))


def test_a_batch_of_which_no_step_was_timed_is_a_dash_in_the_table_of_sizes(run):
    results = [of_batch(r, 32) for r in of_kind(run, "speed").results]
    results += [of_batch(r, 64) for r in of_kind(run, "numerics").results]
    found = rows(section(run_document(run.model_copy(update={"results": tuple(results)})), "bert-imdb, by size of batch"))
    assert [each["step ms"] for each in found if each["batch"] == "-"] == ["-", "-"]


def test_a_file_of_its_figures_has_a_line_for_each(run):
    lines = run_document(run).lines
    assert {(x.figure, x.precision) for x in lines if x.workload == "resnet18-mnist"} == {
        ("step time", "fp32"),
        ("throughput", "fp32"),
        ("score", "fp16-pure"),
    }
