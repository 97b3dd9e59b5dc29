import gc
import json
from pathlib import Path

import pytest

from mpcore.__main__ import main

ROOT = Path(__file__).parent.parent.parent
RUNS = ROOT / "docs" / "runs"
ACCEPTED = ROOT / "baselines" / "nvidia-h200" / "0001_ed365b93.json"


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


def test_a_page_has_the_name_of_one(run_file, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["report", str(run_file), "-o", "report.pdf"])
    assert stop.value.code == 2
    assert "expected a file that ends in .html or .htm, found 'report.pdf'" in capsys.readouterr().err
    assert main(["report", str(run_file), "-o", str(tmp_path / "REPORT.HTML")]) == 0


def test_a_page_that_cannot_be_written_is_one_line(run_file, tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main(["report", str(run_file), "-o", str(tmp_path / "file" / "report.html")]) == 4
    assert f"mpcore: cannot write {tmp_path / 'file' / 'report.html'}: " in capsys.readouterr().err


def test_the_collector_works_again_but_not_on_what_was_read(run_file):
    gc.unfreeze()
    assert main(["report", str(run_file)]) == 0
    assert gc.isenabled()
    assert gc.get_freeze_count()
    gc.unfreeze()


def test_speedups_are_drawn(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    assert main(["report", str(ACCEPTED), "--plots", str(tmp_path)]) == 0
    for reference in ("fp32", "tf32"):
        assert (tmp_path / f"over-{reference}-on-nvidia-h200.png").read_bytes().startswith(b"\x89PNG")


def test_plots_are_drawn(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    assert main(["report", str(RUNS / "imdb.json"), "--plots", str(tmp_path / "plots")]) == 0
    names = sorted(path.name for path in (tmp_path / "plots").iterdir())
    assert "bert-imdb-fp16-amp-graph-full-confusion.png" in names
    assert len(names) == 8
    assert capsys.readouterr().out.count("![") == 8


def test_plots_that_cannot_be_written_are_one_sentence(run_file, capsys):
    pytest.importorskip("matplotlib")
    assert main(["report", str(run_file), "--plots", str(run_file)]) == 4
    assert capsys.readouterr().err == f"mpcore: cannot write {run_file}: File exists\n"


def test_a_sweep_has_a_table_by_size_of_batch(capsys):
    assert main(["report", str(RUNS / "resnet18-batches.json")]) == 0
    assert "### resnet18-mnist, by size of batch" in capsys.readouterr().out


def test_a_run_of_an_older_layout_is_told_how_it_is_converted(tmp_path, capsys):
    path = tmp_path / "old.json"
    path.write_text(json.dumps({"benchmarks": [], "mpcore": {"command": "pytest"}}))
    assert main(["report", str(path)]) == 4
    assert f"python -m mpcore convert --in-place {path}" in capsys.readouterr().err


def test_what_the_library_of_plots_cannot_have_is_told_in_its_words(run_file, monkeypatch, capsys):
    def homeless(*_):
        raise OSError("Matplotlib requires access to a writable cache directory")

    monkeypatch.setattr("mpcore.report.pictures.pictures", homeless)
    assert main(["report", str(run_file), "--plots", "plots"]) == 4
    assert capsys.readouterr().err == "mpcore: cannot write plots: Matplotlib requires access to a writable cache directory\n"
