"""Steps beside those of other trainers, workload by workload."""

import made
import pytest
from reading import row, section, titles

from mpcore.records import Blocks, Case, Entrant, Race, Result, Turns
from mpcore.report.documents import job_document, races_document, run_document, session_document
from mpcore.report.measured import measured
from mpcore.report.page.panels import races as panel
from mpcore.report.render import render
from mpcore.report.sections.races import races

TITLE = "Steps beside those of other trainers: bf16-amp"


def entrant(workload, milliseconds, trainer="mpcore", precision="bf16-amp", execution="compile"):
    case = Case(workload=workload, precision=precision, trainer=trainer, execution=execution, size="full")
    title, version = {"mpcore": ("mpcore", ""), "plain": ("plain PyTorch", "2.11.0"), "fabric": ("Fabric", "2.6.1")}[trainer]
    blocks = Blocks(steps=1, seconds=(milliseconds / 1e3,) * 2)
    return Entrant(case=case, trainer=title, trainer_version=version, blocks=blocks)


def race(workload, ours, theirs, **changes):
    """ours: milliseconds of the fastest."""
    own = (entrant(workload, 9.0), entrant(workload, ours, precision="bf16-manual"))
    others = (entrant(workload, 20.0, "fabric", execution="eager"), entrant(workload, theirs, "plain", execution="inductor"))
    fields = {"device": "cuda", "batch_size": 32, "unit": "images", "workload_version": 1, "ours": own, "theirs": others}
    fields["fastest"] = Turns(ours=own[1], theirs=others[1])
    return Result(record=Race(case=own[0].case, **fields | changes))


@pytest.fixture
def raced():
    none = entrant("b", 12.0, "plain", execution="reduce-overhead")
    same = Turns(ours=entrant("b", 8.0), theirs=none)
    missing = {"x": "no triton", "y": "no triton"}
    return [race("a", 5.0, 10.0, missing=missing), race("b", 5.0, 20.0, same_mode=same, failed={"z": "it waits"})]


def test_a_row_has_each_step_the_fastest_of_ours_and_how_many_times_as_fast_it_is(raced):
    (found,) = races(raced, "beside")
    assert found.title == "beside: bf16-amp"
    (table,) = found.tables
    assert table.headings == [
        *("workload", "Fabric eager", "plain PyTorch inductor", "bf16-amp compile", "bf16-manual compile"),
        *("ours", "x", "x same mode"),
    ]
    assert table.rows == [
        ["a", "20.00", "10.00", "9.00", "5.00", "bf16-manual compile", "2.000", "-"],
        ["b", "20.00", "20.00", "9.00", "5.00", "bf16-manual compile", "4.000", "1.500"],
        ["geometric mean", "", "", "", "", "", "2.828", "1.500"],
    ]
    assert [*found.sentences[1:]] == [
        "By Fabric 2.6.1, plain PyTorch 2.11.0.",
        "Not timed: no triton (2 cases).",
        "Not timed: it waits (1 case).",
    ]


def test_another_process_beside_a_race_is_said(raced, summary):
    sentence = "other processes were on the GPU while it was timed"
    assert sentence not in render(session_document(summary(raced)), "terminal")
    turns = raced[0].record.fastest.model_copy(update={"gpu": made.gpu().model_copy(update={"other_processes": 1})})
    assert sentence in render(session_document(summary([race("a", 5.0, 10.0, fastest=turns)])), "terminal")


def test_without_a_pair_in_the_same_mode_there_is_no_column_for_it(raced):
    (table,) = races(raced[:1], "beside")[0].tables
    assert table.headings[-1] == "x"
    assert {len(cells) for cells in table.rows} == {len(table.headings)} == {len(table.align)}


def test_a_race_that_nobody_ran_to_its_end_has_no_ratio():
    (table,) = races([race("a", 5.0, 10.0, fastest=None)], "beside")[0].tables
    assert table.rows[0][-2:] == ["-", "-"]
    assert table.rows[1][-1] == "-"


def test_each_mode_of_the_others_has_a_table_of_its_own(raced):
    fp32 = [result.model_copy(update={"record": _in_fp32(result.record)}) for result in raced]
    assert [each.title for each in races([*raced, *fp32], "beside")] == ["beside: bf16-amp", "beside: fp32"]
    assert races([], "beside") == []


def _in_fp32(record):
    return record.model_copy(update={"case": record.case.in_precision("fp32")})


def test_a_terminal_that_is_narrow_leaves_the_single_steps_out(raced, summary, monkeypatch):
    monkeypatch.setattr("mpcore.report.render.terminal.WIDTH", 60)
    shown = render(session_document(summary(raced)), "terminal")
    assert "2.828" in shown
    table, _, left_out = shown.partition("ms a step")[0].partition("left out, for lack of room:")
    assert "Fabric" not in table
    assert "Fabric" in left_out


def test_it_is_in_all_documents_with_the_pairs_that_took_turns(run, summary, raced):
    document = run_document(run.model_copy(update={"results": tuple(raced)}))
    assert TITLE in titles(document)
    pairs = section(document, "Against other trainers")
    shown = {"mode": "bf16-manual", "as": "compile", "against": "plain PyTorch 2.11.0 by inductor", "ours ms": "5.000"}
    assert shown.items() <= row(pairs, "a").items()
    assert len(pairs.tables[0].rows) == 3
    assert TITLE in titles(job_document(summary(raced)))
    assert "geometric mean" in render(document, "html")


def test_the_races_of_several_runs_of_one_machine_stand_in_one_table(run, raced):
    first, second = (run.model_copy(update={"results": (result,)}) for result in raced)
    (section_,) = races_document([first, second, run]).sections
    assert section_.title == "Steps beside those of other trainers, all runs: bf16-amp"
    assert [cells[0] for cells in section_.tables[0].rows] == ["a", "b", "geometric mean"]
    assert races_document([first, run]) is None
    hardware = run.machine.hardware.model_copy(update={"name": "Another GPU"})
    elsewhere = second.model_copy(update={"machine": run.machine.model_copy(update={"hardware": hardware})})
    assert races_document([first, elsewhere]) is None


def test_a_page_has_a_panel_with_each_step(raced):
    (view,) = panel({"gpu": raced}).views
    assert view.label == "bf16-amp on gpu: 2.828 times as fast as the fastest other"
    assert view.columns["workload"] == [*["a (2.00)"] * 4, *["b (4.00)"] * 4]
    assert view.columns["step"][:2] == ["Fabric eager", "plain PyTorch inductor"]
    assert view.columns["ms"][:4] == [20.0, 10.0, 9.0, 5.0]
    assert panel({"gpu": []}).views == []


def test_the_ratio_of_each_pair_is_a_line(run, raced):
    lines = [line for line in measured([run.model_copy(update={"results": tuple(raced)})]) if "trainers" in line.figure]
    assert [line.workload for line in lines] == ["a", "b", "b"]
    assert [line.value for line in lines] == pytest.approx([2.0, 4.0, 1.5])
