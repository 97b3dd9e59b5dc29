import gc
import json
import subprocess
import sys
from pathlib import Path

import pytest

from mpcore.cli import main
from mpcore.records import Case, Hardware, Machine, Numerics, Result

PUBLISHED = Path(__file__).parent.parent / "baselines" / "published"
RUNS = Path(__file__).parent.parent / "docs" / "runs"
ACCEPTED = PUBLISHED.parent / "nvidia-h200" / "0001_ed365b93.json"


@pytest.fixture
def run_file(tmp_path):
    hardware = Hardware(
        device="cpu", name="Some CPU", count=1, memory_bytes=None, power_limit_watts=None, mig=None, uuid=None,
        capability=None, cpu="Some CPU", cores=2,
    )  # fmt: skip
    record = Numerics(
        case=Case(workload="bert-imdb", precision="fp16-amp", size="tiny"),
        workload_version=1,
        device="cpu",
        batch_size=32,
        unit="reviews",
        seconds=1.0,
        loss_error=1e-4,
        gradient_error=0.01,
        flushed_share=0.0,
        updates=20,
        update_error=0.01,
        skipped_steps=0,
        half_flops_share=0.9,
    )
    machine = Machine(hardware=hardware, software={"torch": "2.11.0"})
    path = tmp_path / "0001_run.json"
    content = {
        "machine_info": {"mpcore": machine.model_dump(mode="json")},
        "commit_info": {"id": "0123456789abcdef"},
        "mpcore": {"command": "pytest benchmarks"},
        "benchmarks": [{"fullname": "test_numerics", "extra_info": {"mpcore": Result(record=record).model_dump(mode="json")}}],
        "datetime": "2026-01-02T03:04:05.678901+00:00",
    }
    path.write_text(json.dumps(content))
    return path


def test_a_report_is_markdown(run_file, capsys):
    assert main(["report", str(run_file)]) == 0
    out, err = capsys.readouterr()
    assert "### bert-imdb, tiny, eager" in out
    assert "| fp16-amp |" in " ".join(out.split())
    assert err == ""


def test_several_runs_are_reported_in_turn(run_file, capsys):
    assert main(["report", str(run_file), str(run_file)]) == 0
    assert capsys.readouterr().out.count("### bert-imdb") == 2


@pytest.mark.parametrize("text", [None, "{", "{}"], ids=["missing", "truncated", "not ours"])
def test_a_bad_file_is_one_line_and_exit_code_four(tmp_path, capsys, text):
    path = tmp_path / "bad.json"
    if text is not None:
        path.write_text(text)
    assert main(["report", str(path)]) == 4
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("mpcore: ")
    assert str(path) in err
    assert err.count("\n") == 1


def test_what_can_be_read_is_reported(run_file, tmp_path, capsys):
    assert main(["report", str(run_file), str(tmp_path / "nowhere.json")]) == 4
    out, err = capsys.readouterr()
    assert out.count("### bert-imdb") == 1
    assert err == f"mpcore: cannot read {tmp_path / 'nowhere.json'}: No such file or directory\n"


def test_a_page_is_written(run_file, tmp_path, capsys):
    page = tmp_path / "report.html"
    assert main(["report", str(run_file), str(tmp_path / "nowhere.json"), "-o", str(page)]) == 4
    assert capsys.readouterr().out == f"written: {page}\n"
    text = page.read_text()
    assert text.startswith("<!doctype html>")
    assert "nowhere.json: No such file" in text
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".json"] == ["report.html"]


def test_an_interrupted_report_is_one_line_and_no_file(run_file, tmp_path, capsys, monkeypatch):
    def interrupted(self, target):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)  # when all is written but the name
    assert main(["report", str(run_file), "-o", str(tmp_path / "report.html")]) == 130
    assert capsys.readouterr().err == "mpcore: interrupted\n"
    assert list(tmp_path.iterdir()) == [run_file]


def test_a_page_of_nothing_is_not_written(tmp_path, capsys):
    assert main(["report", str(tmp_path / "nowhere.json"), "-o", str(tmp_path / "report.html")]) == 4
    assert list(tmp_path.iterdir()) == []


def test_a_page_has_the_name_of_one(run_file, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["report", str(run_file), "-o", "report.pdf"])
    assert stop.value.code == 2
    assert "expected the name of an HTML file, such as report.html, found 'report.pdf'" in capsys.readouterr().err


def test_a_page_that_cannot_be_written_is_one_line(run_file, tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main(["report", str(run_file), "-o", str(tmp_path / "file" / "report.html")]) == 4
    assert f"mpcore: cannot write {tmp_path / 'file' / 'report.html'}: " in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["report"], ["dance"]])
def test_wrong_arguments_are_told_how_it_is_used(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert "usage: python -m mpcore" in capsys.readouterr().err


@pytest.mark.parametrize("bad", [False, True])
def test_it_runs_as_a_module(run_file, bad):
    if bad:
        run_file.write_text("{")
    done = subprocess.run([sys.executable, "-m", "mpcore", "report", run_file], capture_output=True, text=True, check=False)
    assert done.returncode == (4 if bad else 0)
    assert done.stdout.startswith("" if bad else "Command: `pytest benchmarks`")
    assert ("Traceback" in done.stderr, done.stderr.count("\n")) == (False, int(bad))


def test_published_figures_stand_beside_a_run(capsys):
    assert main(["published", str(RUNS / "imdb.json"), "--figures", str(PUBLISHED)]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "### bert-imdb" in lines
    naik = next(line for line in lines if "| T4 | fp16-amp |" in line)
    assert "| 297.3 | - | 2.15 | fp32 |" in naik
    assert "accuracy 86.10 %, precision 89.26 %, recall 81.66 %, f1 85.29 %" in naik
    ours = next(line for line in lines if "| here: graph, batch 32 | NVIDIA H200 | fp16-amp |" in line)
    assert "trained on 8,000, minilm weights" in ours


def test_what_nobody_published_is_said(run_file, capsys):
    assert main(["published", str(run_file), "--figures", str(PUBLISHED)]) == 0
    assert capsys.readouterr().out == "No figures were published of what these runs measured.\n"


def test_the_tables_of_the_articles_are_made_of_the_saved_runs(capsys):
    names = ("imdb", "vit-cifar10", "ncf", "resnet50", "membrane")
    runs = [*(RUNS / f"{name}.json" for name in names), ACCEPTED]
    assert main(["published", *map(str, runs), "--figures", str(PUBLISHED)]) == 0
    assert capsys.readouterr().out in (RUNS.parent / "articles.md").read_text()


@pytest.mark.parametrize(
    ("names", "begins"),
    [
        (("resnet18-batches", "resnet18-large-batches"), "| as    | batch"),
        (("modes",), "| mode         | step ms"),
        (("imdb",), "- fp32: TN"),
        (("imdb",), "- fp32: 0."),
    ],
)
def test_the_other_tables_of_the_articles_are_those_of_the_report(capsys, names, begins):
    assert main(["report", *(str(RUNS / f"{name}.json") for name in names)]) == 0
    tables = [part.strip() for part in capsys.readouterr().out.split("\n\n") if part.startswith(begins)]
    assert tables
    text = (RUNS.parent / "articles.md").read_text()
    assert [table for table in tables if table not in text] == []


def test_the_table_of_the_readme_is_that_of_the_accepted_run(capsys):
    assert main(["report", str(ACCEPTED)]) == 0
    printed = capsys.readouterr().out
    table = printed[printed.index("| mode        | step ms") :].split("\n\n")[0]
    assert table in (PUBLISHED.parent.parent / "README.md").read_text()


def test_a_name_may_end_in_capitals(run_file, tmp_path):
    assert main(["report", str(run_file), "-o", str(tmp_path / "REPORT.HTML")]) == 0
    assert main(["compare", str(run_file), "-o", str(tmp_path / "A.MD")]) == 0
    assert (tmp_path / "A.MD").read_text().startswith("#")


def test_the_collector_works_again_but_not_on_what_was_read(run_file):
    gc.unfreeze()
    assert main(["report", str(run_file)]) == 0
    assert gc.isenabled()
    assert gc.get_freeze_count()
    gc.unfreeze()


def test_speedups_are_drawn(tmp_path, capsys):
    assert main(["report", str(ACCEPTED), "--plots", str(tmp_path)]) == 0
    for reference in ("fp32", "tf32"):
        assert (tmp_path / f"over-{reference}-on-nvidia-h200.png").read_bytes().startswith(b"\x89PNG")


def test_plots_are_drawn(tmp_path, capsys):
    assert main(["report", str(RUNS / "imdb.json"), "--plots", str(tmp_path / "plots")]) == 0
    names = sorted(path.name for path in (tmp_path / "plots").iterdir())
    assert "bert-imdb-fp16-amp-graph-full-confusion.png" in names
    assert len(names) == 8
    assert capsys.readouterr().out.count("![") == 8


def test_a_sweep_has_a_table_by_size_of_batch(capsys):
    assert main(["report", str(RUNS / "resnet18-batches.json")]) == 0
    assert "### resnet18-mnist, by size of batch" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["{", "{}", '[{"source": "x"}]', None])
def test_published_figures_that_cannot_be_used_are_named(run_file, tmp_path, capsys, text):
    folder = tmp_path / "figures"
    folder.mkdir()
    if text is not None:
        (folder / "bad.json").write_text(text)
    assert main(["published", str(run_file), "--figures", str(folder)]) == 4
    assert str(folder) in capsys.readouterr().err


@pytest.fixture
def baselines(tmp_path):
    return tmp_path / "baselines"


def test_a_run_is_accepted_and_shown(run_file, baselines, capsys):
    assert main(["accept", str(run_file), "--reason", "the first", "--baselines", str(baselines)]) == 0
    out, err = capsys.readouterr()
    path = baselines / "some-cpu-2-cores" / "0001_01234567.json"
    assert out.startswith(f"{run_file}, beside 0 accepted runs\n\nbert-imdb (tiny, eager)\n")
    assert out.endswith(f"\naccepted: {path}\n")
    assert (err, path.is_file()) == ("", True)
    assert main(["show", "--baselines", str(baselines)]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("some-cpu-2-cores: 1 run from 1 machine start\n")
    assert out.splitlines()[3].split()[-2:] == ["the", "first"]
    assert err == ""


def test_what_changes_and_what_is_removed_is_said(run_file, baselines, capsys):
    accept = ["accept", str(run_file), "--reason", "x", "--keep", "1", "--baselines", str(baselines)]
    assert main(accept) == 0
    content = json.loads(run_file.read_text()) | {"datetime": "2026-02-02"}
    content["benchmarks"][0]["extra_info"]["mpcore"]["record"]["gradient_error"] = 0.02
    run_file.write_text(json.dumps(content))
    capsys.readouterr()
    assert main(accept) == 0
    out = capsys.readouterr().out
    assert "1.0e-02  2.0e-02  +100.0 %" in out
    folder = baselines / "some-cpu-2-cores"
    assert out.endswith(f"\naccepted: {folder}/0002_01234567.json\nremoved: {folder}/0001_01234567.json\n")


def test_a_run_that_failed_is_refused_until_it_is_overruled(run_file, baselines, capsys):
    content = json.loads(run_file.read_text())
    content["mpcore"]["failed"] = [{"test": f"test_speed[{case}]", "sentence": "it is slower"} for case in ("a", "b")]
    run_file.write_text(json.dumps(content))
    accept = ["accept", str(run_file), "--reason", "x", "--baselines", str(baselines), "--overrule", "a"]
    assert main(accept) == 4
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"mpcore: {run_file} has failures, and a failed run is no reference: b ")
    assert not baselines.exists()
    assert main([*accept, "--overrule", "speed:b"]) == 0
    main(["show", "--baselines", str(baselines)])
    assert "overrules test_speed[a], test_speed[b]" in capsys.readouterr().out


@pytest.mark.parametrize("text", [None, "{", "{}"], ids=["missing", "truncated", "not ours"])
def test_a_file_that_cannot_be_used_is_not_accepted(run_file, tmp_path, baselines, capsys, text):
    path = tmp_path / "bad.json"
    if text is not None:
        path.write_text(text)
    assert main(["accept", str(run_file), str(path), "--reason", "x", "--baselines", str(baselines)]) == 4
    out, err = capsys.readouterr()
    assert (out, err.count("\n"), str(path) in err) == ("", 1, True)
    assert not baselines.exists()


def test_a_baseline_that_cannot_be_used_is_not_shown_as_none(baselines, capsys):
    path = baselines / "some-cpu-2-cores" / "0001_abc.json"
    path.parent.mkdir(parents=True)
    path.write_text("{")
    assert main(["show", "--baselines", str(baselines)]) == 4
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"mpcore: {path} is no JSON file: ")


def test_where_nothing_is_accepted_it_is_said(tmp_path, capsys):
    assert main(["show", "--baselines", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"no accepted runs in {tmp_path}\n"


def test_figures_of_papers_are_no_baselines(capsys):
    assert main(["show", "--baselines", str(PUBLISHED.parent)]) == 0
    assert "published" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "required: --reason"),
        (["--reason", "x", "--keep", "0"], "expected a whole number from 1 on, found '0'"),
        (["--reason", "x", "--keep", "many"], "expected a whole number from 1 on, found 'many'"),
    ],
)
def test_wrong_options_of_accept_are_said(options, said, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["accept", "run.json", *options])
    assert stop.value.code == 2
    assert said in capsys.readouterr().err


def test_a_real_run_on_an_older_layout_is_accepted(baselines, capsys):
    assert main(["accept", str(RUNS / "resnet18-batches.json"), "--reason", "x", "--baselines", str(baselines)]) == 0
    assert f"accepted: {baselines}/nvidia-h200/0001_4ae1741a.json" in capsys.readouterr().out


def test_theory_is_computed(capsys):
    assert main(["theory"]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "| float16 | 1 |" in lines
    assert "| float32 | 1.0001 |" in lines
    updated = {cells[1].strip(): cells[2].strip() for line in lines if len(cells := line.split("|")) == 4}
    assert updated["fp32"] == "1.01000"
    assert updated["fp16-manual"] == updated["bf16-manual"] == "1.01000"
    assert updated["bf16-true"] == updated["fp16-true"] == "1.00000"
    assert float(updated["bf16-sr"]) == pytest.approx(1.01, abs=1e-3)
    assert float(updated["bf16-kahan"]) == pytest.approx(1.0078, abs=1e-3)  # the weight, without what waits beside it
    assert "| 1 | 0 | 0 |" in lines
    assert "| 1024 | 7.629e-06 | 7.451e-09 |" in lines


def test_plots_that_cannot_be_written_are_one_sentence(run_file, capsys):
    assert main(["report", str(run_file), "--plots", str(run_file)]) == 4
    assert capsys.readouterr().err == f"mpcore: cannot write {run_file}: File exists\n"
