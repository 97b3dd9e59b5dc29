"""What `accept` announces, and what `show` lists."""

import pytest
from reading import row, section, sentences, titles

from mpcore.records import Accepted, Numerics, Quality, Speed
from mpcore.report.documents import baselines_document, changes_document
from mpcore.report.render import render

GRAPHS = "bert-imdb (full, graph)"


def altered(run, kind, **fields):
    """The run with other figures in all records of a kind."""
    results = [
        r.model_copy(update={"record": r.record.model_copy(update=fields)}) if isinstance(r.record, kind) else r
        for r in run.results
    ]
    return run.model_copy(update={"results": tuple(results)})


def timed(run, *factors):
    """A run for each factor, in which all steps take so many times longer."""
    return [
        run.model_copy(
            update={
                "results": tuple(
                    r.model_copy(update={"record": r.record.model_copy(update={"blocks": slower(r.record.blocks, factor)})})
                    if isinstance(r.record, Speed)
                    else r
                    for r in run.results
                )
            }
        )
        for factor in factors
    ]


def slower(blocks, factor):
    return blocks.model_copy(update={"seconds": tuple(factor * s for s in blocks.seconds)})


def cells(document, title, mode, number=0):
    """What a table says of a mode: some headings are the same."""
    return list(next(line for line in section(document, title).tables[number].rows if line[0] == mode)[1:])


@pytest.fixture
def full_run(run, full):
    return run.model_copy(update={"results": tuple(full)})


def test_without_a_baseline_there_is_only_what_it_is(full_run):
    document = changes_document(full_run, [])
    assert document.title == "0001_run.json, beside 0 accepted runs"
    assert row(section(document, GRAPHS), "fp16-amp") == {
        "mode": "fp16-amp",
        "step ms": "19.214",
        "GiB": "10.00",
        "accuracy %": "90.07",
    }


def test_times_memory_and_metric_stand_beside_what_was_accepted(full_run):
    (new,) = timed(altered(full_run, Speed, peak_allocated_bytes=12 * 2**30), 1.1)
    document = changes_document(new, [full_run])
    assert cells(document, GRAPHS, "fp16-amp") == [
        "19.214", "21.135", "+10.0 %", "10.00", "12.00", "+20.0 %", "90.07", "90.07", "+0.0 %",
    ]  # fmt: skip
    assert max(map(len, render(document, "terminal").splitlines())) <= 100


def test_errors_stand_beside_what_was_accepted(full_run):
    document = changes_document(altered(full_run, Numerics, gradient_error=1e-3), [full_run])
    assert cells(document, GRAPHS, "bf16-amp", 1)[:3] == ["2.0e-03", "1.0e-03", "-50.0 %"]


def test_what_a_step_does_stands_beside_what_it_did(run, full, counted):
    before, after = (run.model_copy(update={"results": tuple(counted(full, casts))}) for casts in (98, 99))
    assert cells(changes_document(after, [before]), GRAPHS, "bf16-amp", 1) == [
        "98", "99", "+1.0 %", "1,234", "1,234", "+0.0 %", "0.250", "0.250", "+0.0 %",
    ]  # fmt: skip
    alone = [each.model_copy(update={"results": each.results[len(full) :]}) for each in (before, after)]
    assert cells(changes_document(alone[1], alone[:1]), GRAPHS, "bf16-amp")[:3] == ["98", "99", "+1.0 %"]


def test_of_several_it_is_the_median(full_run):
    document = changes_document(full_run, timed(full_run, 1.0, 2.0, 50.0))
    assert document.title.endswith("beside 3 accepted runs")
    assert cells(document, GRAPHS, "fp32")[:3] == ["174.824", "87.412", "-50.0 %"]


def test_what_is_not_finite_has_no_change_in_per_cent(full_run, lost):
    none = full_run.model_copy(update={"results": tuple(lost(full_run.results))})
    errors = cells(changes_document(none, [full_run]), GRAPHS, "fp32", 1)
    assert errors == ["2.0e-03", "not finite", "3.0e-02", "not finite"]


def test_what_was_zero_has_no_change_in_per_cent(full_run):
    zero = altered(full_run, Numerics, update_error=0.0)
    assert cells(changes_document(zero, [full_run]), GRAPHS, "fp32", 1)[-1] == "-100.0 %"
    assert cells(changes_document(full_run, [zero]), GRAPHS, "fp32", 1)[-2:] == ["0.0e+00", "3.0e-02"]


def test_a_new_case_is_new_and_one_that_is_gone_is_named(run):
    fewer = run.model_copy(update={"results": tuple(r for r in run.results if r.record.case.precision == "fp32")})
    document = changes_document(run, [fewer])
    assert cells(document, "bert-imdb", "fp16-amp")[:3] == ["-", "125.000", "new"]
    assert not any("not in this run" in said for said in sentences(document))
    assert sentences(changes_document(fewer, [run])) == [
        "not in this run, so that older ones hold: speed, accuracy and numerics of bert-imdb (eager-tiny: fp16-amp)",
        "not in this run, so that older ones hold: accuracy of resnet18-mnist (eager-tiny: fp16-pure)",
    ]


def test_what_was_reset_is_not_missing(run):
    fewer, times = run.model_copy(update={"results": run.results[:1]}), ("2026-01-01T00:00:00", "2026-01-02T00:00:00")
    old, new = (Accepted(reason="so", datetime=f"{time}+00:00") for time in times)
    new = new.model_copy(update={"reset": tuple(result.record.name for result in run.results[1:])})
    accepted = [each.model_copy(update={"accepted": how}) for each, how in ((run, old), (fewer, new))]
    assert sentences(changes_document(fewer, accepted)) == []
    said = sentences(changes_document(accepted[1], accepted[:1]))
    assert "let go: accuracy and numerics of bert-imdb (eager-tiny: fp32 and fp16-amp)" in said
    assert all(each.startswith("let go: ") for each in said)


def test_another_version_of_a_workload_is_not_compared(run):
    document = changes_document(altered(run, Quality, workload_version=2), [run])
    assert any(
        said.startswith("cannot be compared: accuracy of bert-imdb (eager-tiny: fp32 and fp16-amp): ")
        for said in sentences(document)
    )
    assert cells(document, "bert-imdb", "fp32")[:3] == ["250.000", "250.000", "+0.0 %"]


def test_software_that_differs_from_the_last_one_is_named(run):
    machine = run.machine.model_copy(update={"software": {"python": "3.12.1", "torch": "2.12.0", "cuda": "13.0"}})
    newer = run.model_copy(update={"machine": machine})
    said = [line for line in sentences(changes_document(newer, [newer, run])) if line.startswith("software")]
    assert said == ["software: torch 2.11.0 -> 2.12.0, cuda none -> 13.0"]
    assert not any(line.startswith("software") for line in sentences(changes_document(run, [run])))


def test_a_run_of_comparisons_with_others_has_no_table(run, trainers):
    alone = run.model_copy(update={"results": tuple(trainers)})
    assert changes_document(alone, [alone]).sections == []


def test_each_accepted_run_is_listed(run):
    accepted = Accepted(
        reason="the first", datetime="2026-01-03T00:00:00+00:00", allowed_failures=("a/test_speed.py::test_speed[x]", "y")
    )
    first = run.model_copy(update={"path": "baselines/some-gpu/0001_01234567.json", "accepted": accepted})
    again = Accepted(reason="again", datetime="2026-01-03T00:00:00+00:00")
    second = first.model_copy(update={"path": "baselines/some-gpu/0002_abc.json", "accepted": again, "commit": None})
    [found] = baselines_document({"some-gpu": [first, second]}).sections
    assert found.title == "some-gpu: 2 runs from 1 machine start"
    [table] = found.tables
    assert list(table.headings) == ["file", "measured", "commit", "torch", "GPU", "cases", "reason"]
    assert table.rows == [
        ["0001_01234567.json", "2026-01-02 03:04", "01234567", "2.11.0", "GPU-0", "4", "the first"],
        ["0002_abc.json", "2026-01-02 03:04", "-", "2.11.0", "GPU-0", "4", "again"],
    ]
    assert found.sentences == ["baselines/some-gpu/0001_01234567.json was accepted though these failed: test_speed[x], y"]


@pytest.mark.parametrize(
    ("names", "said"), [(["speed:a", "speed:b"], "speed:a, speed:b"), (list("abcdef"), "a, b, c, d and 2 more")]
)
def test_what_was_reset_is_listed(run, names, said):
    accepted = Accepted(reason="faster", datetime="2026-01-03T00:00:00+00:00", reset=tuple(names))
    [found] = baselines_document({"some-gpu": [run.model_copy(update={"accepted": accepted})]}).sections
    assert found.sentences == [f"0001_run.json is all that counts of {said}"]


@pytest.mark.parametrize(
    ("uuids", "days", "title"),
    [
        (("a", "b", "a"), (1, 1, 1), "x: 3 runs from 2 machine starts"),
        (("a", "a", "a"), (1, 1, 2), "x: 3 runs from 2 machine starts"),
        ((None, None, None), (1, 1, 2), "x: 3 runs from 2 machine starts"),
        ((None,), (1,), "x: 1 run from 1 machine start"),
    ],
)
def test_machine_starts_are_told_by_the_gpu_and_the_day(run, uuids, days, title):
    runs = []
    for uuid, day in zip(uuids, days, strict=True):
        hardware = run.machine.hardware.model_copy(update={"uuid": uuid})
        machine = run.machine.model_copy(update={"hardware": hardware})
        runs.append(run.model_copy(update={"machine": machine, "datetime": f"2026-01-0{day}T03:04:05"}))
    assert titles(baselines_document({"x": runs})) == [title]
