"""Runs of older layouts."""

import shutil
from pathlib import Path

import pytest

from mpcore.__main__ import main
from mpcore.commands.convert import _update_noise
from mpcore.store import load

ORIGINAL = Path(__file__).parent.parent / "runs" / "nvidia-h200" / "0001_ed365b93.json"


@pytest.fixture
def old(tmp_path):
    path = tmp_path / "old.json"
    shutil.copy(ORIGINAL, path)
    return path


def test_a_run_is_converted_in_its_place(old, capsys):
    assert main(["report", str(old)]) == 4
    assert main(["convert", str(old)]) == 0
    assert capsys.readouterr().out == f"written: {old}\n"
    assert len(load(old).results) > 100


def test_a_run_is_converted_into_a_folder(old, tmp_path, capsys):
    before = old.read_bytes()
    (tmp_path / "new").mkdir()
    assert main(["convert", str(old), "-o", str(tmp_path / "new")]) == 0
    assert old.read_bytes() == before
    records = [result.record for result in load(tmp_path / "new" / "old.json").results]
    noise = {r.case.workload: r.requirements.update_noise for r in records if r.kind == "numerics"}
    assert (noise["resnet18-mnist"], noise["bert-imdb"]) == (0.05, 0.01)


def test_a_run_that_is_of_this_layout_is_left_alone(run_file, capsys):
    before = run_file.read_bytes()
    assert main(["convert", str(run_file)]) == 4
    assert capsys.readouterr().err.count("\n") == 1
    assert run_file.read_bytes() == before


def test_of_a_workload_that_nobody_knows_nothing_is_assumed():
    assert _update_noise("somebodys") == 0.0
