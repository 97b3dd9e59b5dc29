import json
import subprocess
import sys
from pathlib import Path

import pytest

from mpcore.cli import main
from mpcore.records import Case, Hardware, Machine, Numerics, Result

PUBLISHED = Path(__file__).parent.parent / "baselines" / "published"
RUNS = Path(__file__).parent.parent / "docs" / "runs"


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


def test_nothing_is_reported_where_one_file_of_two_is_bad(run_file, tmp_path, capsys):
    assert main(["report", str(run_file), str(tmp_path / "nowhere.json")]) == 4
    assert capsys.readouterr().out == ""


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
    assert "trained on 8,000, pretrained weights" in ours


def test_what_nobody_published_is_said(run_file, capsys):
    assert main(["published", str(run_file), "--figures", str(PUBLISHED)]) == 0
    assert capsys.readouterr().out == "No figures were published of what these runs measured.\n"


def test_the_tables_of_the_articles_are_made_of_the_saved_runs(capsys):
    runs = [str(RUNS / f"{name}.json") for name in ("imdb", "default", "unet", "vit-cifar10")]
    assert main(["published", *runs, "--figures", str(PUBLISHED)]) == 0
    assert capsys.readouterr().out in (RUNS.parent / "articles.md").read_text()


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
