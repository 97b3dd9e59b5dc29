"""`accept` and `show`."""

import subprocess
import sys
from pathlib import Path

import pytest

from mpcore.__main__ import main


def test_a_run_is_accepted_and_shown(run_file, baselines, capsys):
    assert main(["accept", str(run_file), "--reason", "the first", "--baselines", str(baselines)]) == 0
    out, err = capsys.readouterr()
    path = baselines / "some-cpu-2-cores" / "0001_01234567.json"
    assert " ".join(out.split()).startswith(f"{run_file}, beside 0 accepted runs bert-imdb (tiny, eager)")
    assert out.endswith(f"\naccepted: {path}\n")
    assert (err, path.is_file()) == ("", True)
    assert main(["show", "--baselines", str(baselines)]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("some-cpu-2-cores: 1 run from 1 machine start\n")
    assert next(line for line in out.splitlines() if path.name in line).split()[-2:] == ["the", "first"]
    assert err == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_what_is_accepted_is_told_though_it_cannot_be_shown(run_file, baselines):
    command = [sys.executable, "-m", "mpcore", "accept", run_file, "--reason", "x", "--baselines", baselines]
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    path = baselines / "some-cpu-2-cores" / "0001_01234567.json"
    said = [f"mpcore: accepted: {path}", "mpcore: the output cannot be written: No space left on device"]
    assert (done.returncode, done.stderr.splitlines()) == (4, said)


def test_baselines_are_those_of_the_project(run_file, tmp_path, monkeypatch, capsys):
    """From its root and from its folders."""
    (tmp_path / "pytest.ini").touch()
    (tmp_path / "inside").mkdir()
    monkeypatch.chdir(tmp_path)
    assert main(["accept", "0001_run.json", "--reason", "x"]) == 0
    assert capsys.readouterr().out.endswith("\naccepted: baselines/some-cpu-2-cores/0001_01234567.json\n")
    monkeypatch.chdir(tmp_path / "inside")
    assert main(["show"]) == 0
    assert "0001_01234567.json" in capsys.readouterr().out


def test_of_several_runs_the_later_ones_join_the_earlier_ones(save, baselines, capsys):
    earlier, later = (str(save(f"{day}.json", datetime=f"2026-02-0{day}T00:00:00+00:00")) for day in (1, 2))
    assert main(["accept", "--reason", "x", "--baselines", str(baselines), later, earlier]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert out.startswith(f"{later}, beside 1 accepted run ")
    assert f"{earlier}, beside 0 accepted runs " in out


def test_what_changes_and_what_is_removed_is_said(save, baselines, capsys):
    accept = ["accept", "--reason", "x", "--keep", "1", "--baselines", str(baselines)]
    assert main([*accept, str(save())]) == 0
    capsys.readouterr()
    worse = str(save(gradient_error=0.02, datetime="2026-02-02T00:00:00+00:00"))
    assert main([*accept, worse]) == 4
    assert "gradient error of fp16-amp is 0.02, 0.01 in accepted runs" in capsys.readouterr().err
    assert main([*accept, worse, "--allow-failure", "bert-imdb-fp16-amp-eager-tiny"]) == 0
    out = capsys.readouterr().out
    assert "1.0e-02 2.0e-02 +100.0 %" in " ".join(out.split())
    folder = baselines / "some-cpu-2-cores"
    assert out.endswith(f"\naccepted: {folder}/0002_01234567.json\nremoved: {folder}/0001_01234567.json\n")


def test_a_run_that_failed_is_refused_until_its_failures_are_allowed(save, baselines, capsys):
    run_file = save(failed=("a", "b"))
    accept = ["accept", str(run_file), "--reason", "x", "--baselines", str(baselines), "--allow-failure", "a"]
    assert main(accept) == 4
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"mpcore: {run_file} has failures, and a failed run is no reference: b ")
    assert not baselines.exists()
    assert main([*accept, "--allow-failure", "speed:b"]) == 0
    main(["show", "--baselines", str(baselines)])
    assert "test_speed[a], test_speed[b]" in capsys.readouterr().out


def test_a_case_is_reset_and_that_is_shown(save, baselines, capsys):
    accept = ["accept", "--reason", "x", "--baselines", str(baselines)]
    assert main([*accept, str(save())]) == 0
    assert main([*accept, str(save(datetime="2026-02-02T00:00:00+00:00")), "--reset", "bert-imdb-*"]) == 0
    capsys.readouterr()
    assert main(["show", "--baselines", str(baselines)]) == 0
    assert "numerics:bert-imdb-fp16-amp-eager-tiny" in capsys.readouterr().out


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
