"""`python -m mpcore compare`, and what others read in the files that it reads."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from mpcore.__main__ import main

ROOT = Path(__file__).parent.parent.parent
DEFAULT = min((ROOT / "baselines" / "nvidia-h200").glob("*.json"))
ARTICLES = [ROOT / "docs" / "runs" / f"{name}.json" for name in ("imdb", "resnet18-batches", "modes")]
PUBLISHED = sorted((ROOT / "published").glob("*.json"))


@pytest.fixture
def changed(tmp_path):
    """changed(name, **software): a copy of the default run in which all steps take 2 % more."""

    def changed(name="changed.json", hardware="NVIDIA H200", **software):
        content = json.loads(DEFAULT.read_text())
        machine = content["mpcore"]["machine"]
        machine["software"] |= software
        machine["hardware"]["name"] = hardware
        for record in (result["record"] for result in content["mpcore"]["results"]):
            if record["kind"] == "speed":
                record["blocks"]["seconds"] = [1.02 * seconds for seconds in record["blocks"]["seconds"]]
        path = tmp_path / name
        path.write_text(json.dumps(content))
        return path

    return changed


def compare(*arguments):
    return main(["compare", *map(str, arguments)])


def test_two_runs_of_one_machine_are_what_changed(changed, capsys):
    assert compare(DEFAULT, changed(torch="2.12.0")) == 0
    out, err = capsys.readouterr()
    assert f"A -> B: from {DEFAULT}" in out
    assert "+2.0 %" in out
    assert (out.count("2.12.0"), err) == (1, "")


def test_two_machines_are_across(changed, capsys):
    assert compare(DEFAULT, changed(hardware="NVIDIA H100")) == 0
    assert "nvidia-h200  nvidia-h100" in capsys.readouterr().out


def test_a_folder_is_the_runs_in_it_and_what_is_calibrated_is_none(changed, tmp_path, capsys):
    for name, hardware in (("a.json", "NVIDIA H200"), ("b.json", "NVIDIA H100")):
        (tmp_path / hardware[7:]).mkdir()
        changed(name, hardware).rename(tmp_path / hardware[7:] / name)
    (tmp_path / "H200" / "calibration.json").write_text("{}")
    assert compare(tmp_path) == 0
    out, err = capsys.readouterr()
    assert ("nvidia-h200  nvidia-h100" in out or "nvidia-h100  nvidia-h200" in out, err) == (True, "")


def test_what_a_shell_makes_of_the_folder_of_baselines_is_compared(changed, capsys):
    assert compare(DEFAULT, changed(), *PUBLISHED) == 0
    out = capsys.readouterr().out
    assert "(published)" in out
    assert "NVIDIA DeepLearningExamples: ResNet-50 v1.5" in out
    assert "fp16-forward" in out
    assert "the median" in out


def test_runs_of_other_data_and_other_cases_are_compared(capsys):
    assert compare(DEFAULT, *ARTICLES) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "fp32 v1, 1,600 rows, random 100.00" in out
    assert "fp32 v1, 8,000 rows, minilm 88.38" in out
    assert compare(ARTICLES[0], ARTICLES[2]) == 0
    assert "Only in A" in capsys.readouterr().out


@pytest.mark.parametrize("suffix", ["md", "csv", "html"])
def test_a_file_is_of_its_suffix(changed, tmp_path, capsys, suffix):
    path = tmp_path / "out" / f"compared.{suffix}"
    assert compare(DEFAULT, changed(hardware="H100"), *PUBLISHED, "-o", path) == 0
    assert capsys.readouterr().out == f"written: {path}\n"
    text = path.read_text()
    assert text.startswith({"md": "## Across hardware", "csv": "workload,", "html": "<!doctype html>"}[suffix])
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    if suffix == "csv":
        assert {line["published"] for line in csv.DictReader(text.splitlines())} == {"True", "False"}


def test_another_suffix_is_told_what_is_expected(capsys):
    with pytest.raises(SystemExit) as stop:
        compare(DEFAULT, "-o", "compared.pdf")
    assert stop.value.code == 2
    assert "expected a file that ends in .md, .csv or .html, found 'compared.pdf'" in capsys.readouterr().err


def test_published_figures_alone_are_no_run(capsys):
    assert compare(ROOT / "published") == 4
    assert capsys.readouterr() == ("", "mpcore: no run among these files: published figures are shown beside runs\n")


def test_without_a_file_it_is_told_how_it_is_used(capsys):
    with pytest.raises(SystemExit) as stop:
        compare()
    assert stop.value.code == 2
    assert "usage: python -m mpcore compare" in capsys.readouterr().err


BAD = {"truncated": '{"a": ', "not ours": "{}", "no figures": '[{"source": "x"}]', "missing": None}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_what_can_be_read_is_compared(changed, tmp_path, capsys, text):
    bad = tmp_path / "bad.json"
    if text is not None:
        bad.write_text(text)
    assert compare(DEFAULT, bad, changed()) == 4
    out, err = capsys.readouterr()
    assert "A -> B: from" in out
    assert (err.startswith("mpcore: "), err.count("\n"), str(bad) in err) == (True, 1, True)


def test_a_layout_that_cannot_be_read_is_named(tmp_path, capsys):
    content = json.loads(DEFAULT.read_text())
    content["mpcore"]["layout"] = "3.0"
    path = tmp_path / "old.json"
    path.write_text(json.dumps(content))
    assert compare(path) == 4
    assert f"{path}: layout '3.0'" in capsys.readouterr().err


def test_a_folder_without_runs_is_one_sentence(tmp_path, capsys):
    assert compare(tmp_path) == 4
    assert (
        capsys.readouterr().err
        == f"mpcore: {tmp_path} holds no run: expected a folder with the files that --benchmark-autosave wrote\n"
    )


def test_of_nothing_nothing_is_written(tmp_path, capsys):
    output = tmp_path / "compared.md"
    assert compare(tmp_path / "nowhere.json", "-o", output) == 4
    assert compare(*PUBLISHED, "-o", output) == 4
    assert "published figures are shown beside runs" in capsys.readouterr().err
    assert not output.exists()


def test_an_interruption_leaves_no_half_of_a_file(tmp_path, capsys, monkeypatch):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", interrupted)
    assert compare(DEFAULT, "-o", tmp_path / "compared.html") == 130
    assert capsys.readouterr().err == "mpcore: interrupted\n"
    assert list(tmp_path.iterdir()) == []


def test_it_needs_no_torch():
    code = "import sys; from mpcore.__main__ import main; main(['compare', *sys.argv[1:]]); sys.exit('torch' in sys.modules)"
    command = [sys.executable, "-c", code, DEFAULT, DEFAULT]
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0


def test_pytest_benchmark_compares_our_files_too(changed, tmp_path):
    command = [Path(sys.executable).parent / "pytest-benchmark", "compare", DEFAULT, changed()]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "test_speed[bert-imdb-fp16-amp-graph-full]" in done.stdout


@pytest.mark.parametrize("path", [DEFAULT, *ARTICLES], ids=lambda path: path.stem)
def test_what_others_import_is_there(path):
    content = json.loads(path.read_text())
    assert all(content[name] for name in ("machine_info", "commit_info", "datetime", "version"))
    for benchmark in content["benchmarks"]:
        assert benchmark["name"]
        assert all(benchmark["stats"][name] > 0 for name in ("mean", "median", "min", "max", "rounds"))


def test_what_was_not_read_stands_in_the_document(tmp_path, capsys):
    written = tmp_path / "compared.md"
    assert compare(DEFAULT, tmp_path / "nowhere.json", "-o", written) == 4
    assert "nowhere.json: No such file" in capsys.readouterr().err
    assert "### Not read" in written.read_text()
    assert "nowhere.json: No such file" in written.read_text()
