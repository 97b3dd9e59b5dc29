"""A thousand runs, and where they changed."""

import json
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import fsspec
import numpy as np
import pytest

from mpcore.__main__ import main
from mpcore.records import Accepted, Blocks, Case, CaseFigures, Hardware, Machine, Result, Run, RunFigures, Speed
from mpcore.store import RunError, files_in
from mpcore.trend import append, changes, figures_of, read_figures, series_of
from mpcore.trend.figures import USUAL

FIRST = datetime(2026, 1, 1, 3, 17, tzinfo=UTC)


def night(number, cases, hardware="nvidia-h200", torch="2.11.0", commit=None):
    """Figures of a run, by case."""
    return RunFigures(
        datetime=(FIRST + timedelta(days=number)).isoformat(),
        commit=f"{number:08x}" if commit is None else commit,
        hardware=hardware,
        software={"torch": torch, "mpcore": "0.1.0"},  # whose name is also the key of a saved run
        cases=tuple(
            CaseFigures(case=name, workload_version=1, batch_size=32, figures=figures) for name, figures in cases.items()
        ),
    )


def written(folder, runs):
    folder.mkdir(parents=True, exist_ok=True)
    for number, run in enumerate(runs):
        (folder / f"{number:06}.json").write_text(run.model_dump_json())
    return folder


def slower_from(run, count=40, factor=1.03, **changes):
    return [night(n, {"a": {"least_ms": 10.0 * (factor if n >= run else 1.0)}}, **changes) for n in range(count)]


def test_a_change_names_the_commits_between_which_it_lies(tmp_path, capsys):
    folder = written(tmp_path / "history", slower_from(25))
    assert main(["trend", str(folder)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("40 runs on nvidia-h200, 1 figure: 1 change in 1 place\n")
    assert "nvidia-h200, between 00000018 (2026-01-25 03:17) and 00000019 (2026-01-26 03:17)" in out
    assert "a     step time, shortest block, ms      10   10.3  +3.0 %          15" in out


def test_software_that_is_another_one_there_is_named(tmp_path, capsys):
    runs = [*slower_from(20, 20), *(night(n, {"a": {"least_ms": 10.5}}, torch="2.12.0") for n in range(20, 40))]
    assert main(["trend", str(written(tmp_path / "history", runs))]) == 0
    assert "; torch 2.11.0 -> 2.12.0" in " ".join(capsys.readouterr().out.split())


def test_a_machine_that_changed_under_one_commit_is_told_so():
    runs = slower_from(20, commit="1234567890")
    (change,) = changes(series_of(runs, USUAL))
    assert change.where.startswith("the same commit, 12345678 (")


def test_where_there_is_no_run_nothing_is_said_of_changes(tmp_path, capsys):
    assert main(["trend", str(tmp_path), "-o", str(tmp_path / "trend.md")]) == 4
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "holds no run" in err
    assert list(tmp_path.iterdir()) == []


def test_nothing_that_changed_is_said(tmp_path, capsys):
    assert main(["trend", str(written(tmp_path / "history", slower_from(99)))]) == 0
    assert capsys.readouterr().out == "40 runs on nvidia-h200, 1 figure: nothing changed\n"


def test_of_too_few_runs_nobody_says_that_nothing_changed(tmp_path, capsys):
    assert main(["trend", str(written(tmp_path / "history", slower_from(99)[:5]))]) == 0
    said = "whether anything changed is not known, for no case has more than 5 runs, and 6 are needed"
    assert " ".join(capsys.readouterr().out.split()) == f"5 runs on nvidia-h200, 1 figure: {said}"


def test_machines_versions_and_batches_are_apart():
    runs = [*slower_from(20), *slower_from(99, hardware="nvidia-h100")]
    newer = [
        run.model_copy(update={"commit": "x", "cases": tuple(c.model_copy(update={"workload_version": 2}) for c in run.cases)})
        for run in runs
    ]
    found = series_of([*runs, *newer], USUAL)
    assert {(s.hardware, s.terms, len(s.values)) for s in found} == {
        (hardware, (version, 32), 40) for hardware in ("nvidia-h200", "nvidia-h100") for version in (1, 2)
    }
    assert {(c.series.hardware, c.series.terms) for c in changes(found)} == {("nvidia-h200", (1, 32)), ("nvidia-h200", (2, 32))}


def test_a_run_in_two_folders_counts_once(tmp_path, capsys):
    one, two = (written(tmp_path / name, slower_from(25)) for name in ("one", "two"))
    assert main(["trend", str(one), str(two)]) == 0
    assert "15" in capsys.readouterr().out.split()


def test_any_figure_can_be_named(tmp_path, capsys):
    runs = [night(n, {"a": {"eager_ms": 20.0 if n < 20 else 30.0}}) for n in range(40)]
    folder = str(written(tmp_path / "history", runs))
    assert main(["trend", folder]) == 0
    assert "nothing changed" in capsys.readouterr().out
    assert main(["trend", folder, "--figure", "eager_ms"]) == 0
    assert "+50.0 %" in capsys.readouterr().out
    assert main(["trend", folder, "--figure", "dance"]) == 4
    assert capsys.readouterr().err == "mpcore: no run has a figure 'dance': expected one of eager_ms\n"


def saved(day=1, ms=10.0):
    """A run, as it is saved."""
    hardware = Hardware(
        device="cuda", name="NVIDIA H200", count=1, memory_bytes=1, power_limit_watts=1, mig=None, uuid="u", capability="9.0",
        cpu="c", cores=1,
    )  # fmt: skip
    speed = Speed(
        case=Case(workload="w", precision="fp16-amp", execution="graph", size="full"), workload_version=3, device="cuda",
        batch_size=8, unit="samples", blocks=Blocks(steps=1, seconds=(ms / 1e3, ms / 0.9e3)), eager=None, references={},
        peak_allocated_bytes=2**30, peak_reserved_bytes=None, pool_bytes=None, loss_before=None, loss_after=None,
        loss_scale=None, skipped_steps=0, flops_per_step=1, low_precision_flops_share=0.5, ceiling_flops=None, profile=None,
        gpu=None, dropped_blocks=0,
    )  # fmt: skip
    return Run(
        command="", datetime=f"2026-01-{day:02}T00:00:00+00:00", commit="abcdef0123", results=(Result(record=speed),),
        machine=Machine(hardware=hardware, software={"torch": "2.11.0"}),
    )  # fmt: skip


def as_file(path, run):
    path.write_text(json.dumps({"benchmarks": [], "mpcore": run.model_dump(mode="json")}))
    return path


def test_a_run_leaves_its_figures(tmp_path):
    figures = figures_of(saved())
    (case,) = figures.cases
    assert (case.case, case.workload_version, case.batch_size) == ("w-fp16-amp-graph-full", 3, 8)
    assert case.figures["least_ms"] == 10.0
    assert case.figures["step_ms"] == pytest.approx(10.5556, rel=1e-5)
    assert case.figures["peak_gib"] == 1.0
    assert "pool_gib" not in case.figures
    assert (figures.hardware, figures.commit) == ("nvidia-h200", "abcdef0123")


def test_nights_are_appended_and_none_twice(tmp_path, capsys):
    runs = [as_file(tmp_path / f"{day}.json", saved(day)) for day in (1, 2)]
    folder = tmp_path / "history"
    for _ in range(2):
        assert main(["trend", str(folder), "--append", *map(str, runs)]) == 0
    said = capsys.readouterr()
    assert [line.rpartition("/")[2] for line in said.err.splitlines()] == [
        "20260101000000_abcdef01.json",
        "20260102000000_abcdef01.json",
    ]
    first, _ = files_in(folder)
    assert read_figures(first) == figures_of(saved(1))
    assert append(folder, [saved(1)]) == []


def test_a_history_may_lie_under_any_url(tmp_path, capsys):
    system = fsspec.filesystem("memory")
    runs = [as_file(tmp_path / f"{day}.json", saved(day)) for day in (1, 2)]
    for _ in range(2):
        assert main(["trend", "memory://bucket/history", "--append", *map(str, runs)]) == 0
    added = [line for line in capsys.readouterr().err.splitlines() if "added" in line]
    assert added[0] == "mpcore: added: memory://bucket/history/nvidia-h200/20260101000000_abcdef01.json"
    assert len(added) == 2
    system.pipe_file("/bucket/history/nvidia-h200/broken.json", b"{")
    assert main(["trend", "memory://bucket/history"]) == 4
    assert "memory://bucket/history/nvidia-h200/broken.json" in capsys.readouterr().err
    assert len(system.find("/bucket/history")) == 3


@pytest.mark.parametrize("url", ["file://{}", "local://{}/", "file://{}/a b%20c", "file://{}/x[1]*?", "simplecache::file://{}"])
def test_a_history_is_read_and_added_to_night_after_night(tmp_path, capsys, url):
    """In storage that makes no folder for a copy."""
    url = url.format(tmp_path / "history")
    for day in (1, 2):
        assert main(["trend", url, "--append", str(as_file(tmp_path / f"{day}.json", saved(day)))]) == 0
        assert f"added: {url.rstrip('/')}/nvidia-h200/2026010{day}000000_abcdef01.json" in capsys.readouterr().err
    assert main(["trend", url]) == 0
    assert capsys.readouterr().out.startswith("2 runs on nvidia-h200")


def test_a_url_may_be_of_a_single_run(tmp_path, capsys):
    assert main(["trend", as_file(tmp_path / "1.json", saved()).as_uri()]) == 0
    assert capsys.readouterr().out.startswith("1 run on nvidia-h200")


@pytest.mark.parametrize(
    ("url", "said"),
    [("nonsense://a/b", "nonsense://a/b: ValueError: Protocol not known: nonsense"), ("memory://none", "memory://none")],
)
def test_a_url_that_holds_no_history_is_named(capsys, url, said):
    assert main(["trend", url]) == 4
    assert said in capsys.readouterr().err


def test_saved_runs_are_read_as_they_are(tmp_path):
    path = as_file(
        tmp_path / "1.json",
        saved(1).model_copy(update={"accepted": Accepted(reason="x", datetime="2026-01-03T00:00:00+00:00")}),
    )
    assert read_figures(path) == figures_of(saved(1))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{}", "expected the figures of a run, or a saved one: datetime: Field required"),
        ("", "is no JSON file: "),
        ('{"kind": "figures",', "is no JSON file: "),
        ("[]", "expected an object of pytest-benchmark's layout, found list"),
        ('{"mpcore": 1}', ""),
    ],
)
def test_a_file_of_something_else_is_named_and_the_others_are_used(tmp_path, capsys, text, sentence):
    folder = written(tmp_path / "history", slower_from(25))
    (folder / "other.json").write_text(text)
    assert main(["trend", str(folder)]) == 4
    said = capsys.readouterr()
    assert said.err.startswith(f"mpcore: {folder / 'other.json'}")
    assert sentence in said.err
    assert "1 change in 1 place" in said.out


def test_a_folder_without_runs_is_said(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match="holds no run"):
        files_in(tmp_path / "empty")
    assert main(["trend", str(tmp_path / "nowhere")]) == 4
    assert "nowhere: No such file or directory" in capsys.readouterr().err


def test_it_is_written_as_markdown_too(tmp_path, capsys):
    folder = written(tmp_path / "history", slower_from(25))
    assert main(["trend", str(folder), "-o", str(tmp_path / "trend.md")]) == 0
    assert "| a    |" in (tmp_path / "trend.md").read_text()


@pytest.mark.parametrize(
    ("name", "sentence", "code"),
    [("t.txt", "expected a file that ends in .md, found", 2), ("no/t.md", "no/t.md: No such file or directory", 4)],
)
def test_a_file_that_it_cannot_write_is_said_before_anything_is_added(tmp_path, capsys, name, sentence, code):
    try:
        found = main(["trend", str(tmp_path), "-o", str(tmp_path / name)])
    except SystemExit as error:
        found = error.code
    assert found == code
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / name).parent.joinpath("no").exists()


def test_a_thousand_runs_of_sixty_cases_take_seconds_of_a_processor_and_no_torch(tmp_path):
    rng = np.random.default_rng(0)
    names = [f"w{i}" for i in range(60)]
    times = 10.0 * np.exp(0.0015 * rng.standard_normal((1000, 60)))
    times[600:, 7] *= 1.02
    others = {"peak_gib": 3.0, "pool_gib": 4.0, "casts": 59.0, "launches": 300.0}
    runs = [
        night(n, {name: {"least_ms": float(times[n, c]), "gradient_error": float(rng.uniform(0.049, 0.051)), **others}
                  for c, name in enumerate(names)})
        for n in range(1000)
    ]  # fmt: skip
    folder = written(tmp_path / "history", runs)
    code = (
        "import sys, time; from mpcore.__main__ import main; begin = time.process_time()\n"
        f"assert main(['trend', {str(folder)!r}]) == 0\n"
        "assert 'torch' not in sys.modules; print(time.process_time() - begin, file=sys.stderr)"
    )
    begin = time.process_time()
    sum(i * i for i in range(3_000_000))  # how fast this machine is
    unit = time.process_time() - begin
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "1,000 runs on nvidia-h200, 360 figures: 1 change in 1 place" in done.stdout
    assert "w7" in done.stdout
    assert float(done.stderr) < 40 * unit  # 10 s where a loop of three million takes a quarter
