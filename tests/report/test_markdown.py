import pytest

from mpcore.records import FailedTest
from mpcore.report.escape import escaped
from mpcore.report.markdown import markdown

NASTY = "<script>alert(1)</script>|größe `x` *a*\n# T"


def section(text, start):
    """The blocks of the first workload from the one that starts with `start`: itself and the table below."""
    blocks = text.split("\n\n")
    at = next(i for i, block in enumerate(blocks) if block.startswith(start))
    return blocks[at], [[cell.strip() for cell in line.strip("|").split("|")] for line in blocks[at + 1].splitlines()]


def of_kind(run, *kinds):
    return tuple(r for r in run.results if r.record.kind in kinds)


def test_it_begins_with_how_the_run_was_made(run):
    command, machine = markdown(run).split("\n\n")[:2]
    assert command == "Command: `pytest benchmarks`"
    assert "2 x Some GPU, 80 GiB, 16 CPU cores (Some CPU)" in machine
    assert "python 3.12.1, torch 2.11.0" in machine
    assert machine.endswith("commit 0123456789ab; 2026-01-02 03:04 UTC.")


def test_an_unknown_commit_is_said_to_be_unknown(run):
    assert "commit unknown;" in markdown(run.model_copy(update={"commit": None}))


def test_each_workload_has_a_heading_in_the_order_of_the_run(run):
    headings = [line for line in markdown(run).splitlines() if line.startswith("#")]
    assert headings == ["### bert-imdb, tiny, eager", "### resnet18-mnist, tiny, eager"]


@pytest.mark.parametrize(
    ("title", "note", "header", "row"),
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
def test_a_table_has_a_note_and_a_row_for_each_mode(run, title, note, header, row):
    text, table = section(markdown(run), f"**{title}.**")
    assert note in text
    assert table[0] == header
    assert table[3] == row
    assert [line[0] for line in table[2:]] == ["fp32", "fp16-amp"]


@pytest.mark.parametrize(("precision", "seed"), [("fp32", 0), ("fp32", 1), ("fp16-amp", 0), ("fp16-amp", 1)])
def test_trainings_are_as_long_as_the_longest_of_any_mode_and_seed(run, precision, seed):
    def cut(result):
        record = result.record
        if record.kind != "quality" or record.case.workload != "bert-imdb":
            return result
        trainings = tuple(
            t.model_copy(update={"steps": 150 if (record.case.precision, t.seed) == (precision, seed) else 9})
            for t in record.trainings
        )
        return result.model_copy(update={"record": record.model_copy(update={"trainings": trainings})})

    text, _ = section(markdown(run.model_copy(update={"results": tuple(map(cut, run.results))})), "**Trainings.**")
    assert "; 150 steps of 32;" in text


@pytest.fixture
def graphs(run, full):
    """graphs(precision, changes): the run of a GPU, with changes to the speed of `precision`, or of all modes."""

    def graphs(precision=None, **changes):
        return run.model_copy(
            update={
                "results": tuple(
                    r.model_copy(update={"record": r.record.model_copy(update=changes)})
                    if r.record.kind == "speed" and precision in (None, r.record.case.precision)
                    else r
                    for r in full
                )
            }
        )

    return graphs


def test_the_table_of_a_graph_has_its_eager_step_its_ceiling_its_energy_and_its_pool(graphs):
    text, table = section(markdown(graphs()), "**Speed.**")
    assert text == "**Speed.** Batch of 32 reviews, random weights; medians of 2 or more blocks of each mode."
    assert dict(zip(table[0], table[4], strict=True)) == {
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


def test_how_far_references_drifted_is_said_with_its_sign(graphs):
    text, _ = section(markdown(graphs(drift={"fp32": 0.0012, "tf32": -0.0345})), "**Speed.**")
    assert text.endswith("of each mode. From the beginning to the end of the workload: fp32 +0.12 %, tf32 -3.45 %.")


def test_one_mode_beside_which_others_were_on_the_gpu_is_enough(graphs, full):
    busy = full[0].record.gpu.model_copy(update={"other_processes": 3})
    text, _ = section(markdown(graphs("fp16-amp", gpu=busy)), "**Speed.**")
    assert text.endswith("of each mode. Other processes were on the GPU.")


def test_one_reference_that_took_turns_is_enough_to_say_so(graphs, full):
    amp = next(r.record for r in full if (r.record.kind, r.record.case.precision) == ("speed", "fp16-amp"))
    close = amp.references["tf32"].model_copy(update={"rounds": amp.blocks})
    text, _ = section(markdown(graphs("fp16-amp", references=amp.references | {"tf32": close})), "**Speed.**")
    assert text.endswith("of each mode, in turns with its references where they are close.")


def test_each_mode_that_was_timed_says_why(run):
    bert, resnet = markdown(run).split("### resnet18-mnist")
    assert "\n\n- fp32: not profiled.\n- fp16-amp: fp16-amp is 2.00 times fp32 and 1.50 times tf32.\n\n" in bert
    assert "\n\n- fp32: not profiled.\n\n" in resnet
    assert "fp16-pure: not" not in resnet


def test_without_times_nobody_says_why(run):
    assert "not profiled" not in markdown(run.model_copy(update={"results": of_kind(run, "quality", "numerics")}))


def test_comparisons_with_other_trainers_stand_at_the_end(run, rivals):
    without = markdown(run)
    text = markdown(run.model_copy(update={"results": (*rivals, *run.results)}))
    assert text.startswith(without.rstrip())
    _, table = section(text, "### Against other trainers")
    assert table[0] == [
        "workload",
        "mode",
        "ours as",
        "against",
        "ours ms",
        "theirs ms",
        "times as fast",
        "ours %",
        "theirs %",
        "gate",
    ]
    assert table[2:] == [
        ["resnet18-mnist", "fp16-amp", "eager", "plain PyTorch 2.11.0", "25.000", "15.625", "0.61", "-", "-", "failed"],
        ["bert-imdb", "fp16-amp", "eager", "Trainer 5.1.0", "50.000", "100.000", "2.00", "91.25", "91.00", "ok"],
    ]


def test_without_comparisons_there_is_no_heading_for_them(run):
    assert "other trainers" not in markdown(run)


def test_comparisons_alone_have_no_other_table(run, rivals):
    headings = [
        line for line in markdown(run.model_copy(update={"results": tuple(rivals)})).splitlines() if line.startswith("#")
    ]
    assert headings == ["### Against other trainers"]


def test_what_was_not_measured_is_a_dash(run):
    _, table = section(markdown(run), "**Speed.**")
    assert table[2][3:5] == ["-", "-"]


def test_a_table_of_nothing_is_left_out(run):
    bert, resnet = markdown(run).split("### resnet18-mnist")
    assert "**Trainings.**" in resnet
    assert "**Errors against FP64.**" in bert
    assert "**Trainings.**" not in markdown(run.model_copy(update={"results": of_kind(run, "speed")}))


def test_errors_that_were_not_measured_have_no_table(run):
    assert "Errors against FP64" not in markdown(run.model_copy(update={"results": of_kind(run, "speed")}))


def test_a_mode_stands_only_in_the_tables_of_what_was_measured_of_it(run):
    resnet = markdown(run).split("### resnet18-mnist")[1]
    assert [line[0] for line in section(resnet, "**Speed.**")[1][2:]] == ["fp32"]
    assert [line[0] for line in section(resnet, "**Trainings.**")[1][2:]] == ["fp16-pure"]
    assert [line[0] for line in section(resnet, "**Verdicts.**")[1][2:]] == ["fp32", "fp16-pure"]


def test_confusion_matrices_are_spelt_out(run):
    bert, resnet = markdown(run).split("### resnet18-mnist")
    title = "**Confusion matrices**, seed 0 (rows: truth).\n\n"
    assert f"{title}- fp32: TN 40, FP 10, FN 5, TP 45\n- fp16-amp: TN 40, FP 10, FN 5, TP 45\n\n" in bert
    assert f"{title}- fp16-pure: 1 2 3 / 4 5 6 / 7 8 9; diverged at step 9: the loss is nan\n\n" in resnet


def test_without_confusion_matrices_there_is_no_title_for_them(run):
    assert "Confusion" not in markdown(run.model_copy(update={"results": of_kind(run, "speed", "numerics")}))


def test_confusion_matrices_stand_under_their_own_execution(run):
    moved = [
        r.model_copy(
            update={"record": r.record.model_copy(update={"case": r.record.case.model_copy(update={"execution": "graph"})})}
        )
        for r in run.results
    ]
    parts = markdown(run.model_copy(update={"results": (*run.results, *moved)})).split("### ")[1:]
    assert [part.splitlines()[0] for part in parts] == [
        "bert-imdb, tiny, eager",
        "resnet18-mnist, tiny, eager",
        "bert-imdb, tiny, graph",
        "resnet18-mnist, tiny, graph",
    ]
    assert [part.count("- fp16-amp: TN 40") for part in parts] == [1, 0, 1, 0]


def test_the_last_table_of_a_workload_holds_the_verdicts(run):
    bert, _ = markdown(run).split("### resnet18-mnist")
    _, table = section(bert, "**Verdicts.**")
    assert table[0] == ["mode", "gate", "what failed"]
    assert table[2:] == [["fp32", "ok", ""], ["fp16-amp", "failed", "gradient error"]]
    assert bert.rstrip().splitlines()[-1].startswith("| fp16-amp")


def test_what_a_mode_is_known_for_is_said_and_is_no_failure(run, worsened):
    results = worsened([r for r in run.results if r.passed], "quality", "accuracy", known=True)
    _, table = section(markdown(run.model_copy(update={"results": tuple(results)})), "**Verdicts.**")
    assert table[2:] == [["fp32", "ok", ""], ["fp16-amp", "known", ""]]


def test_a_run_of_nothing_is_how_it_was_made_alone(run):
    assert markdown(run.model_copy(update={"results": ()})).count("\n\n") == 1


def test_names_are_text_whatever_they_hold(run):
    """In headings, tables, lists and the command: no cell, tag, heading or emphasis comes of them."""
    of = {"workload": NASTY, "precision": NASTY}
    named = [
        result.model_copy(
            update={
                "record": result.record.model_copy(update={"case": result.record.case.model_copy(update=of), "unit": NASTY})
            }
        )
        for result in run.results[:1]
    ]
    command, *rest = markdown(run.model_copy(update={"results": tuple(named), "command": NASTY})).split("\n\n")
    assert command == "Command: `` <script>alert(1)</script>|größe `x` *a* # T ``"
    text = "\n\n".join(rest)
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&#124;größe &#96;x&#96; &#42;a&#42; &#35; T" in text
    assert [line for line in text.splitlines() if line.startswith("#")] == [f"### {escaped(NASTY)}, tiny, eager"]
    tables = [part.splitlines() for part in rest if part.startswith("|")]
    assert tables
    assert all(len({line.count("|") for line in table}) == 1 for table in tables)


def test_what_failed_is_said_first(run):
    failed = FailedTest(test="benchmarks/test_speed.py::test_speed[bert-imdb-fp32-eager-tiny]", sentence="its GPU was slow")
    blocks = markdown(run.model_copy(update={"failed": (failed,)})).split("\n\n")
    assert blocks[2:4] == ["**Failed.**", "- test&#95;speed&#91;bert-imdb-fp32-eager-tiny&#93;: its GPU was slow"]


def test_a_batch_of_which_no_step_was_timed_is_a_dash_in_the_sweep(run):
    def of_batch(result, size):
        case = result.record.case.model_copy(update={"batch_size": size})
        return result.model_copy(update={"record": result.record.model_copy(update={"case": case})})

    results = [of_batch(r, 32) for r in of_kind(run, "speed")] + [of_batch(r, 64) for r in of_kind(run, "numerics")]
    text = markdown(run.model_copy(update={"results": tuple(results)}))
    rows = section(text, "### bert-imdb, by size of batch")[1]
    assert any(row[1:4] == ["-", "fp16-amp", "-"] for row in rows)
