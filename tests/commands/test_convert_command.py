"""Runs of older layouts."""

import original_runs
import pytest

from mpcore.__main__ import main
from mpcore.commands.convert import _update_noise
from mpcore.store import load

ORIGINAL = original_runs.unpacked(original_runs.FOLDER / "nvidia-h200" / "0001_ed365b93.json.gz")


@pytest.fixture
def old(tmp_path):
    path = tmp_path / "old.json"
    path.write_bytes(ORIGINAL)
    return path


def test_a_run_is_converted_in_its_place(old, capsys):
    assert main(["report", str(old)]) == 4
    assert main(["convert", "--in-place", str(old)]) == 0
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
    assert main(["convert", "--in-place", str(run_file)]) == 4
    assert capsys.readouterr().err.count("\n") == 1
    assert run_file.read_bytes() == before


@pytest.mark.parametrize("where", [(), ("--in-place", "-o", "new")])
def test_where_to_write_is_said_once(old, where):
    before = old.read_bytes()
    with pytest.raises(SystemExit) as refused:
        main(["convert", str(old), *where])
    assert refused.value.code == 2
    assert old.read_bytes() == before


def test_two_files_of_one_name_are_not_written_to_one(tmp_path, capsys):
    paths = [tmp_path / folder / "0001.json" for folder in ("a", "b")]
    for path in paths:
        path.parent.mkdir()
        path.write_bytes(ORIGINAL)
    out = tmp_path / "out"
    out.mkdir()
    assert main(["convert", *map(str, paths), "-o", str(out)]) == 4
    assert capsys.readouterr().err == f"mpcore: {paths[0]} and {paths[1]} would both be written to {out / '0001.json'}\n"
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("own", [True, False], ids=["its own folder", "another"])
def test_a_file_that_is_there_is_not_written_over_nor_any_before_it(old, tmp_path, capsys, own):
    first = tmp_path / "first" / "first.json"
    first.parent.mkdir()
    first.write_bytes(ORIGINAL)
    out = tmp_path if own else tmp_path / "out"
    out.mkdir(exist_ok=True)
    there = out / "old.json"
    if not own:
        there.write_text("mine")
    before = there.read_bytes()
    assert main(["convert", str(first), str(old), "-o", str(out)]) == 4
    assert capsys.readouterr().err == f"mpcore: {there} is there already: {old} is not written over it\n"
    assert there.read_bytes() == before
    assert not (out / "first.json").exists()


def test_of_a_workload_that_nobody_knows_nothing_is_assumed():
    assert _update_noise("somebodys") == 0.0
