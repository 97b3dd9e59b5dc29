import json
import math
import re

import pytest

from mpcore.gate import expected_seconds
from mpcore.records import Accepted, FailedTest, Result
from mpcore.report.page import page
from mpcore.report.page.changes import largest_changes
from mpcore.report.page.history import history
from mpcore.report.page.newest import groups, newest
from mpcore.report.page.panels import confusions, curves, errors, kernels, launches, memory, speedups
from mpcore.report.page.views import Matrix

NASTY = "</script><script>alert(1)</script> größe"


def embedded(text):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1])


def renamed(results, name):
    """The same of a workload with another name."""
    cases = [result.record.case.model_copy(update={"workload": name}) for result in results]
    records = [r.record.model_copy(update={"case": case}) for r, case in zip(results, cases, strict=True)]
    return tuple(r.model_copy(update={"record": record}) for r, record in zip(results, records, strict=True))


def rows(view):
    return [dict(zip(view.columns, row, strict=True)) for row in zip(*view.columns.values(), strict=True)]


@pytest.fixture
def graphs(run, full):
    return run.model_copy(update={"results": tuple(full)})


def results_of(*runs):
    return {hardware: of.results for hardware, of in newest(runs).items()}


@pytest.fixture
def of(graphs):
    return list(groups(results_of(graphs)))


def test_the_newest_result_of_a_case_counts(run, results):
    older = run.model_copy(update={"datetime": "2025-01-01T00:00:00", "path": "older.json"})
    newer = run.model_copy(update={"results": tuple(results[1:2])})
    assert results_of(newer, older) == {"some-gpu": [*results[:1], *newer.results, *results[2:]]}


def test_speedups_come_with_their_intervals(graphs):
    panel = speedups(results_of(graphs))
    assert [view.label for view in panel.views] == ["over fp32 on some-gpu", "over tf32 on some-gpu"]
    found = {row["mode"]: row for row in rows(panel.views[0])}
    assert "fp32" not in found
    assert found["fp16-amp"]["times as fast"] == pytest.approx(87.412 / 19.214, rel=1e-5)
    assert found["fp16-amp"]["low"] <= found["fp16-amp"]["times as fast"] <= found["fp16-amp"]["high"]


def test_a_speedup_of_one_block_has_no_interval_and_is_left_out(graphs, full):
    speed = full[6].record
    one = speed.model_copy(update={"blocks": speed.blocks.model_copy(update={"seconds": (0.02,)})})
    assert speedups({"gpu": [Result(record=one)]}).views == []


def test_figures_of_a_step(of):
    [memories], [launched], [spent] = (panel(of).views for panel in (memory, launches, kernels))
    assert {row["mode"]: row["GiB"] for row in rows(memories)}["fp16-amp"] == 10
    assert {row["how"]: row["step ms"] for row in rows(launched) if row["mode"] == "fp16-amp"} == pytest.approx(
        {"launched by Python": 29.714, "as a graph": 19.214}
    )
    assert {row["kernels"]: row["step ms"] for row in rows(spent) if row["mode"] == "fp16-amp"} == pytest.approx(
        {
            "matrix product, 16 bits": 0.6 * 19.214,
            "elementwise, 16 bits": 0.25 * 19.214,
            "attention, 16 bits": 0.1 * 19.214,
            "layer normalisation, 16 bits": 0.05 * 19.214,
        },
        rel=1e-5,
    )


def test_kernels_too_small_to_be_seen_are_one(graphs, full):
    speed = full[6].record
    first, *others = speed.profile.families
    small = [family.model_copy(update={"seconds": 1e-6}) for family in others]
    profile = speed.profile.model_copy(update={"families": (first, *small)})
    [group] = groups({"gpu": [Result(record=speed.model_copy(update={"profile": profile}))]})
    [view] = kernels([group]).views
    assert view.columns["kernels"] == ["matrix product, 16 bits", "all else"]
    assert view.columns["step ms"][1] == pytest.approx(3e-3)


def test_what_was_not_measured_has_no_view(run, results):
    of = list(groups(results_of(run.model_copy(update={"results": tuple(results[-1:])}))))
    assert [len(panel(of).views) for panel in (memory, launches, kernels, curves, confusions, errors)] == [0, 0, 0, 0, 0, 1]


def test_a_training_is_a_curve_and_a_matrix(of):
    [loss] = curves(of).views
    assert loss.label == "loss: bert-imdb (full, graph) on some-gpu"
    assert {(row["step"], row["loss"]) for row in rows(loss)} == {(1, 0.5)}
    assert Matrix("fp16-amp: bert-imdb (full, graph) on some-gpu", ((40, 10), (5, 45))) in confusions(of).views


def test_an_error_that_is_not_finite_is_no_figure(run, results):
    numerics = results[-1].record.model_copy(update={"update_error": None})
    [view] = errors(list(groups({"cpu": [Result(record=numerics)]}))).views
    assert {row["of"]: row["relative error"] for row in rows(view)} == {"loss": 0.002, "gradient": 0.5, "20 updates": None}


def test_a_score_that_is_no_number_is_said_in_the_table_of_cases(run, results, lost):
    cases = embedded(page([run.model_copy(update={"results": tuple(lost(results))})]))["tables"]["cases"]
    assert cases["score"] == ["not finite", "not finite", None, "not finite"]
    assert cases["gradient error"] == ["not finite", "not finite", None, None]


def test_a_score_is_in_the_same_unit_everywhere(run):
    view = next(v for v in history([run]).views if v.label.startswith("accuracy of bert-imdb-fp16-amp"))
    assert view.columns["accuracy %"] == [80.5]


def test_history_shows_where_the_next_run_is_expected(graphs):
    accepted = Accepted(reason="first", datetime="2026-01-03T00:00:00+00:00")
    runs = [graphs.model_copy(update={"datetime": f"2026-01-0{day}T00:00:00", "path": f"{day}.json"}) for day in (3, 1, 2)]
    runs[1:] = [run.model_copy(update={"accepted": accepted}) for run in runs[1:]]
    view = next(v for v in history(runs).views if v.label == "step time of bert-imdb-fp16-amp-graph-full on some-gpu")
    assert view.columns["run"] == ["1.json", "2.json", "3.json"]
    assert view.columns["accepted"] == ["yes", "yes", "no"]
    [speed] = [r.record for r in graphs.results if r.record.kind == "speed" and r.record.case.precision == "fp16-amp"]
    band = expected_seconds([speed, speed], None)
    assert view.columns["expected from"] == pytest.approx([1e3 * band.low] * 3, rel=1e-5)
    assert view.columns["expected to"] == pytest.approx([1e3 * band.high] * 3, rel=1e-5)
    assert math.log(band.high / band.centre) == pytest.approx(-math.log(band.low / band.centre))


def test_history_without_accepted_runs_has_no_band(graphs):
    view = history([graphs]).views[0]
    assert "expected from" not in view.columns
    assert len(view.traces) == 1


def test_history_has_no_band_for_what_python_launches_on_a_gpu(graphs):
    def launched(record):
        return record.model_copy(update={"case": record.case.model_copy(update={"execution": "eager"})})

    results = tuple(r.model_copy(update={"record": launched(r.record)}) for r in graphs.results)
    run = graphs.model_copy(
        update={"results": results, "accepted": Accepted(reason="first", datetime="2026-01-03T00:00:00+00:00")}
    )
    view = next(v for v in history([run]).views if v.label.startswith("step time of bert-imdb-fp16-amp-eager-full"))
    assert view.columns["accepted"] == ["yes"]
    assert "expected from" not in view.columns


def test_every_trace_names_columns_that_are_there(graphs):
    of = list(groups(results_of(graphs)))
    panels = [panel(of) for panel in (memory, launches, kernels, curves, errors)]
    for view in [view for panel in (*panels, history([graphs]), speedups(results_of(graphs))) for view in panel.views]:
        assert len({len(values) for values in view.columns.values()}) == 1
        for trace in view.traces:
            named = [value[1:] for key in ("x", "y", "text") if isinstance(value := trace.get(key), str)]
            where = trace.get("where")
            assert {*named, *trace.get("bounds", [])} <= view.columns.keys()
            assert where is None or where[1] in view.columns[where[0]]


def test_a_page_needs_nothing_else(graphs):
    text = page([graphs])
    markup = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    assert re.findall(r'(?:src|href)="([^"]*)"', markup) == [*re.findall(r'href="(data:,|#[\w-]+)"', markup)]
    assert "url(" not in markup
    assert len(text) < 2e6


def test_names_are_text(run, full):
    runs = [
        run.model_copy(
            update={"results": renamed(full, NASTY), "command": NASTY, "failed": (FailedTest(test=NASTY, sentence=NASTY),)}
        )
    ]
    text = page(runs, [f"cannot read {NASTY}"])
    assert "<script>alert" not in text
    assert text.count("&lt;/script&gt;&lt;script&gt;alert(1)") >= 2
    assert set(embedded(text)["tables"]["cases"]["workload"]) == {NASTY}
    assert any(NASTY in view["label"] for view in embedded(text)["panels"]["history"]["views"])


def test_what_failed_is_said_first(run):
    failed = (FailedTest(test="test_numerics.py::test_numerics[a]", sentence="the gradient is wrong"),)
    text = page([run.model_copy(update={"failed": failed})])
    assert "1 test failed" in text
    assert "test_numerics[a]: the gradient is wrong" in text
    assert "nothing failed" in page([run])


def test_cases_of_the_table_are_those_of_the_frame(graphs):
    cases = embedded(page([graphs]))["tables"]["cases"]
    assert cases["mode"] == [
        "fp32",
        "tf32",
        "fp16-amp",
        "bf16-amp",
        "fp16-manual",
        "bf16-manual",
        "fp16-forward",
        "fp16-true",
        "bf16-true",
    ]
    assert cases["step ms"][2] == 19.214
    assert cases["hardware"] == ["some-gpu"] * 9
    assert "casts" not in cases


def test_the_table_of_cases_has_what_a_step_does(run, full, counted):
    cases = embedded(page([run.model_copy(update={"results": tuple(counted(full))})]))["tables"]["cases"]
    assert (cases["casts"], cases["launches"], cases["saved GiB"]) == ([98] * 9, [1234] * 9, [0.25] * 9)
    assert cases["step ms"][2] == 19.214


@pytest.mark.parametrize("count", [1, 500])
def test_one_case_and_five_hundred(run, full, count):
    results = [result for i in range(count) for result in renamed(full[:1], f"workload-{i}")]
    cases = embedded(page([run.model_copy(update={"results": tuple(results)})]))["tables"]["cases"]
    assert len(cases["workload"]) == count


def test_a_run_without_results_is_shown(run):
    tables = embedded(page([run.model_copy(update={"results": ()})]))["tables"]
    assert tables["cases"] == {}
    assert tables["runs"]["cases"] == [0]


def test_many_runs_are_told_in_few_lines_the_newest_first(run, monkeypatch):
    days = [f"2026-01-{day:02d}T00:00:00+00:00" for day in range(1, 29)]
    monkeypatch.setattr("sys.argv", ["mpcore", "report", *(f"{day}.json" for day in days)])
    text = page([run.model_copy(update={"datetime": day}) for day in days])
    assert embedded(text)["tables"]["runs"]["measured"][0] == "2026-01-28 00:00"
    command = re.search("<code>(python -m mpcore report.*?)</code>", text)[1].split()
    assert (len(command), command[-1]) == (16, f"{days[-1]}.json")
    assert "(18 more)" in " ".join(command)


def test_machines_are_sorted_in_every_panel(full):
    labels = [view.label for view in speedups({"b-gpu": full, "a-gpu": full}).views]
    assert [label.split(" on ")[1] for label in labels] == ["a-gpu", "a-gpu", "b-gpu", "b-gpu"]


def test_kernels_of_one_family_stand_together(of):
    [view] = kernels(of).views
    names = [trace["name"] for trace in view.traces]
    assert names == sorted(names)


def test_memory_is_shown_from_zero(of):
    [view] = memory(of).views
    assert view.layout["xaxis"]["rangemode"] == "tozero"


def test_what_the_gate_says_stands_at_the_top(run, results, worsened, compared):
    known = worsened([r for r in results if r.passed], "accuracy", "accuracy", known=True)
    judged = [*compared(known[:1], "undecided"), *compared(known[1:2], "changed"), *known[2:]]
    text = page([run.model_copy(update={"results": tuple(judged)})])
    assert "Against accepted runs: 1 undecided, 1 changed." in text
    assert "Better, changed or undecided (2)" in text
    assert "<li>bert-imdb-fp32-eager-tiny: step time of fp32 is undecided</li>" in text
    assert "Known losses (1)" in text
    assert "<li>bert-imdb-fp16-amp-eager-tiny: accuracy is known to be lost</li>" in text


def test_the_largest_changes_come_first_with_what_is_worse(run, results, regressed):
    """Each with the sentence that names its cause."""
    sizes = {"same": 9.0, "undecided": 2.0, "better": 0.5, "worse": 1.1}
    changed = [regressed(result, status, ratio) for result, (status, ratio) in zip(results, sizes.items(), strict=False)]
    newest = run.model_copy(update={"results": tuple(changed)})
    told = largest_changes(results_of(newest))
    assert [change["change"] for change in told] == ["worse, +10.0 %", "better, -50.0 %", "undecided, +100.0 %"]
    text = page([newest])
    section = text[text.index('<section id="changes">') : text.index('<section id="cases"')]
    places = [text.index(f'id="{name}"') for name in ("verdict", "changes", "cases")]
    assert places == sorted(places)
    assert all(change["sentence"] in section for change in told)


def test_no_more_than_five_changes_open_the_page(run, results, regressed):
    named = [result for number in range(6) for result in renamed(results[:1], f"w{number}")]
    changed = [regressed(result, "better", 0.9) for result in named]
    assert len(largest_changes({"some-gpu": changed})) == 5


def test_one_figure_of_a_workload_is_one_change(results, regressed):
    ratios = (0.9, 0.8, 0.95)
    changed = [regressed(result, "better", ratio) for result, ratio in zip(renamed(results[:3], "w"), ratios, strict=True)]
    (told,) = largest_changes({"some-gpu": changed})
    assert told["change"] == "better, -20.0 %"
    assert told["case"].endswith(", and 2 cases alike")


def test_a_page_says_where_nothing_has_changed(run, results, regressed):
    same = run.model_copy(update={"results": (regressed(results[0], "same", 1.0),)})
    assert "Nothing has changed since accepted runs." in page([same])
    new = run.model_copy(update={"results": (results[0].model_copy(update={"regressions": ()}),)})
    assert "Nothing was compared with accepted runs." in page([new])


def test_history_marks_where_a_figure_changed(graphs):
    """Between the commits of the run before it and of the first after it."""
    nights = []
    for number in range(12):
        slowed = [of_time(result, 1.05 if number >= 6 else 1.0) for result in graphs.results]
        changes = {"datetime": f"2026-01-{number + 1:02}T00:00:00", "commit": f"{number:040x}", "results": tuple(slowed)}
        nights.append(graphs.model_copy(update=changes))
    view = next(v for v in history(nights).views if v.label == "step time of bert-imdb-fp16-amp-graph-full on some-gpu")
    (note,) = view.layout["annotations"]
    assert note["x"] == "2026-01-07T00:00:00"
    assert note["text"].startswith("+5.0 % 0000")
    assert [shape["x0"] for shape in view.layout["shapes"] if shape["type"] == "line"] == [note["x"]]
    assert history(nights[:6]).views[0].layout["annotations"] == []


def of_time(result, factor):
    if result.record.kind != "speed":
        return result
    blocks = result.record.blocks
    longer = blocks.model_copy(update={"seconds": tuple(factor * s for s in blocks.seconds)})
    return result.model_copy(update={"record": result.record.model_copy(update={"blocks": longer})})
