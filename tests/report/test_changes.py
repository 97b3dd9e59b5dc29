import pytest

from mpcore.records import Accepted, Numerics, Quality, Speed
from mpcore.report.baselines import changes, listing


def cells(text, title, mode):
    """What the first table under `title` says of `mode`."""
    lines = text[text.index(title) :].splitlines()
    return next(line.split() for line in lines if line.startswith(f"{mode} "))


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


@pytest.fixture
def full_run(run, full):
    return run.model_copy(update={"results": tuple(full)})


def test_without_a_baseline_there_is_only_what_it_is(full_run):
    text = changes(full_run, [])
    assert text.startswith("0001_run.json, beside 0 accepted runs\n\nbert-imdb (full, graph)\n")
    assert cells(text, "bert-imdb", "fp16-amp") == ["fp16-amp", "19.21", "10.00", "90.07"]
    assert "now" not in text


def test_times_memory_and_metric_stand_beside_what_was_accepted(full_run):
    (new,) = timed(altered(full_run, Speed, peak_allocated_bytes=12 * 2**30), 1.1)
    text = changes(new, [full_run])
    assert cells(text, "bert-imdb", "fp16-amp")[1:] == [
        "19.21", "21.14", "+10.0", "%", "10.00", "12.00", "+20.0", "%", "90.07", "90.07", "+0.0", "%",
    ]  # fmt: skip
    assert max(map(len, text.splitlines())) <= 100


def test_errors_stand_beside_what_was_accepted(full_run):
    text = changes(altered(full_run, Numerics, gradient_error=1e-3), [full_run])
    assert cells(text, "gradient error", "bf16-amp")[1:5] == ["2.0e-03", "1.0e-03", "-50.0", "%"]


def test_of_several_it_is_the_median(full_run):
    text = changes(full_run, timed(full_run, 1.0, 2.0, 50.0))
    assert "beside 3 accepted runs" in text
    assert cells(text, "bert-imdb", "fp32")[1:5] == ["174.82", "87.41", "-50.0", "%"]


def test_what_is_not_finite_has_no_change_in_per_cent(full_run, lost):
    none = full_run.model_copy(update={"results": tuple(lost(full_run.results))})
    assert cells(changes(none, [full_run]), "gradient error", "fp32")[1:4] == ["2.0e-03", "not", "finite"]
    assert "%" not in changes(none, [full_run]).split("gradient error")[1]


def test_what_was_zero_has_no_change_in_per_cent(full_run):
    zero = altered(full_run, Numerics, update_error=0.0)
    assert cells(changes(zero, [full_run]), "gradient error", "fp32")[-2:] == ["-100.0", "%"]
    assert cells(changes(full_run, [zero]), "gradient error", "fp32")[-2:] == ["0.0e+00", "3.0e-02"]


def test_a_new_case_is_new_and_one_that_is_gone_is_named(run):
    fewer = run.model_copy(update={"results": tuple(r for r in run.results if r.record.case.precision == "fp32")})
    text = changes(run, [fewer])
    assert cells(text, "bert-imdb", "fp16-amp")[1:4] == ["-", "125.00", "new"]
    assert "no longer there" not in text
    assert "no longer there: speed of bert-imdb-fp16-amp-eager-tiny, quality of bert-imdb-fp16-amp-eager-tiny, " in changes(
        fewer, [run]
    )


def test_gone_is_what_the_last_accepted_run_had(run):
    fewer = run.model_copy(update={"results": run.results[:1]})
    assert "no longer there" not in changes(fewer, [run, fewer])


def test_another_version_of_a_workload_is_not_compared(run):
    text = changes(altered(run, Quality, workload_version=2), [run])
    assert "quality of bert-imdb-fp32-eager-tiny cannot be compared: version 1 there, 2 here" in text
    assert cells(text, "bert-imdb", "fp32")[1:5] == ["250.00", "250.00", "+0.0", "%"]


def test_software_that_differs_from_the_last_one_is_named(run):
    machine = run.machine.model_copy(update={"software": {"python": "3.12.1", "torch": "2.12.0", "cuda": "13.0"}})
    text = changes(run.model_copy(update={"machine": machine}), [run.model_copy(update={"machine": machine}), run])
    assert text.endswith("\n\nsoftware: torch 2.11.0 -> 2.12.0, cuda none -> 13.0\n")
    assert "software" not in changes(run, [run])


def test_a_run_of_comparisons_with_others_has_no_table(run, rivals):
    alone = run.model_copy(update={"results": tuple(rivals)})
    assert changes(alone, [alone]) == "0001_run.json, beside 1 accepted run\n"


def test_each_accepted_run_is_listed(run):
    accepted = Accepted(reason="the first", datetime="2026-01-03", overruled=("a/test_speed.py::test_speed[x]", "y"))
    first = run.model_copy(update={"path": "baselines/some-gpu-x2/0001_01234567.json", "accepted": accepted})
    second = first.model_copy(
        update={
            "path": "baselines/some-gpu-x2/0002_abc.json",
            "accepted": Accepted(reason="again", datetime="x"),
            "commit": None,
        }
    )
    title, heads, _, one, two, _, overruled = listing({"some-gpu-x2": [first, second]}).splitlines()
    assert title == "some-gpu-x2: 2 runs from 1 machine start"
    assert heads.split() == ["file", "measured", "commit", "torch", "GPU", "cases", "reason"]
    assert one.split() == ["0001_01234567.json", "2026-01-02", "03:04", "01234567", "2.11.0", "GPU-0", "4", "the", "first"]
    assert two.split() == ["0002_abc.json", "2026-01-02", "03:04", "-", "2.11.0", "GPU-0", "4", "again"]
    assert overruled == "baselines/some-gpu-x2/0001_01234567.json overrules test_speed[x], y"


@pytest.mark.parametrize(
    ("names", "said"), [(["speed:a", "speed:b"], "speed:a, speed:b"), (list("abcdef"), "a, b, c, d and 2 more")]
)
def test_what_is_expected_anew_is_listed(run, names, said):
    accepted = Accepted(reason="faster", datetime="x", anew=tuple(names))
    last = listing({"some-gpu": [run.model_copy(update={"accepted": accepted})]}).splitlines()[-1]
    assert last == f"0001_run.json is all that is expected of {said}"


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
    assert listing({"x": runs}).splitlines()[0] == title
