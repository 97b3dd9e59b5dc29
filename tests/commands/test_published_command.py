from pathlib import Path

import pytest

from mpcore.__main__ import main

ROOT = Path(__file__).parent.parent.parent
RUNS = ROOT / "docs" / "runs"


@pytest.fixture(autouse=True)
def _in_the_project(monkeypatch):
    """Whose figures are found from its folders, too."""
    monkeypatch.chdir(ROOT / "tests")


def test_published_figures_stand_beside_a_run(capsys):
    assert main(["published", str(RUNS / "imdb.json")]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "### bert-imdb" in lines
    naik = next(line for line in lines if "| T4 | fp16-amp |" in line)
    assert "| 297.3 | - | 2.15 | fp32 |" in naik
    assert "accuracy 86.10 %, precision 89.26 %, recall 81.66 %, f1 85.29 %" in naik
    ours = next(line for line in lines if "| here: graph, batch 32 | NVIDIA H200 | fp16-amp |" in line)
    assert "trained on 8,000, minilm weights" in ours


def test_what_nobody_published_is_said(run_file, capsys):
    assert main(["published", str(run_file)]) == 0
    assert capsys.readouterr().out == "No figures were published of what these runs measured.\n"


@pytest.mark.parametrize("text", ["{", "{}", '[{"source": "x"}]', None])
def test_published_figures_that_cannot_be_used_are_named(run_file, tmp_path, capsys, text):
    folder = tmp_path / "figures"
    folder.mkdir()
    if text is not None:
        (folder / "bad.json").write_text(text)
    assert main(["published", str(run_file), "--figures", str(folder)]) == 4
    assert str(folder) in capsys.readouterr().err


def test_where_figures_are_missing_the_option_is_named(run_file, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["published", str(run_file)]) == 4
    assert capsys.readouterr().err == "mpcore: no folder 'published' of published figures: --figures DIR says where one is\n"
