"""A saved run, judged again."""

import json
import shutil

import pytest

from mpcore.__main__ import main

NAME = "numerics:bert-imdb-fp16-amp-eager-tiny"
"""Of the record that is saved."""


@pytest.fixture
def judge(baselines, capsys):
    """Returns the exit code, and what is printed on one line."""
    baselines.mkdir()

    def judge(*arguments):
        code = main(["judge", *map(str, arguments), "--baselines", str(baselines)])
        return code, " ".join(capsys.readouterr().out.split())

    return judge


@pytest.fixture
def accepted(save, baselines, judge, capsys):
    """The path of the one baseline there is."""
    path = save("accepted.json")
    main(["accept", str(path), "--reason", "x", "--baselines", str(baselines)])
    capsys.readouterr()
    return path


def test_a_run_that_reaches_what_it_must_passes(run_file, judge):
    code, out = judge(run_file)
    assert code == 0
    assert out.startswith(f"{run_file} bert-imdb")
    assert "failed:" not in out


def test_a_run_that_does_not_fails(save, judge):
    code, out = judge(save(gradient_error=0.6))
    assert code == 1
    assert "gradient error" in out[out.index("failed:") :]


def test_a_run_is_compared_with_the_accepted_ones(accepted, save, judge):
    code, out = judge(save("new.json", gradient_error=0.02, datetime="2026-02-02T00:00:00+00:00"))
    assert code == 1
    assert "worse" in out


def test_a_margin_can_be_given(accepted, save, judge):
    new = save("new.json", gradient_error=0.02, datetime="2026-02-02T00:00:00+00:00")
    assert judge(new, "--mp-margin", "errors=3")[0] == 0
    assert judge(new, "--mp-margin", "nothing-*:errors=3")[0] == 1


def test_a_margin_that_is_for_no_case_is_told(run_file, baselines, capsys):
    baselines.mkdir()
    main(
        ["judge", str(run_file), "--baselines", str(baselines), "--mp-margin", "nothing-*:errors=3", "--mp-margin", "errors=2"]
    )
    assert capsys.readouterr().err == "mpcore: a margin is for 'nothing-*', and no case has such a name\n"


def test_margins_and_caps_are_those_of_the_project(accepted, save, judge, tmp_path, monkeypatch):
    new = save("new.json", gradient_error=0.02, datetime="2026-02-02T00:00:00+00:00")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text("[tool.mpcore.margins]\nerrors = 3\n")
    assert judge(new)[0] == 0
    (tmp_path / "pyproject.toml").write_text("[tool.mpcore.margins]\nerrors = 3\n[tool.mpcore.caps]\ngradient-error = 0.015\n")
    assert judge(new)[0] == 1


def test_a_run_is_not_compared_with_itself(accepted, judge):
    code, out = judge(accepted)
    assert code == 0
    assert "1 accepted run" not in out


def test_what_failed_without_a_result_still_fails_unless_that_was_for_strictness_alone(save, judge):
    path = save(failed=("a",))
    assert judge(path)[0] == 1
    path.write_text(path.read_text().replace('"strict": false', '"strict": true'))
    assert judge(path)[0] == 0


def test_what_can_be_read_is_judged(run_file, tmp_path, judge):
    code, out = judge(tmp_path / "nowhere.json", run_file)
    assert code == 4
    assert str(run_file) in out


def test_several_runs_fail_where_one_does(save, judge):
    good, bad = save("good.json"), save("bad.json", gradient_error=0.6)
    code, out = judge(bad, good)
    assert code == 1
    assert str(good) in out


@pytest.mark.parametrize("margin", ["errors", "error=2", "errors=0.5"])
def test_a_margin_that_is_not_one_is_one_sentence(run_file, capsys, margin):
    assert main(["judge", str(run_file), "--mp-margin", margin]) == 4
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(f"mpcore: --mp-margin '{margin}': ")


def test_baselines_that_cannot_be_read_are_one_sentence(accepted, run_file, baselines, capsys):
    (path,) = baselines.glob("*/*.json")
    shutil.copy(path, path.with_name("0002_copy.json"))
    assert main(["judge", str(run_file), "--baselines", str(baselines)]) == 4
    assert capsys.readouterr().err.count("\n") == 1


def edited(path, **changes):
    """With other values in the run that is saved there."""
    content = json.loads(path.read_text())
    content["mpcore"] |= changes
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"results": []}, "has no results: nothing is judged"),
        ({"missed": 3}, "was ended before it reached 3 of its cases: they are not judged"),
        ({"results": [], "missed": 3}, "was ended before it reached 3 of its cases: they are not judged"),
    ],
)
def test_a_run_that_is_not_whole_does_not_pass(run_file, baselines, capsys, changes, sentence):
    baselines.mkdir()
    edited(run_file, **changes)
    assert main(["judge", str(run_file), "--baselines", str(baselines)]) == 1
    assert capsys.readouterr().err == f"mpcore: {run_file} {sentence}\n"


def test_nothing_is_said_of_where_it_is_saved_nor_of_what_comes_next(accepted, save, judge):
    better = save("new.json", gradient_error=0.001, datetime="2026-02-02T00:00:00+00:00")
    code, out = judge(better)
    assert code == 0
    assert "better" in out
    assert not any(word in out for word in ("saved", "next:", "mpcore accept", "mpcore report"))


def test_a_red_verdict_ends_with_the_command_that_the_session_had_for_it(save, judge):
    path = save(gradient_error=0.6)
    of = {"test": "a.py::test_numerics[a]", "name": NAME, "sentence": "it is off", "command": "pytest 'a.py::test_numerics[a]'"}
    code, out = judge(edited(path, failed=[of]))
    assert code == 1
    assert out.endswith("at most 0.5 may be pytest 'a.py::test_numerics[a]'")


def test_what_fails_only_now_ends_with_its_session_for_this_case_alone(accepted, save, judge, baselines):
    new = save("new.json", gradient_error=0.02, datetime="2026-02-02T00:00:00+00:00")
    made = (
        "pytest benchmarks -k 'a or b' --mp-precision fp32,fp16-amp --mp-data 'my data' --benchmark-json=new.json --junitxml x"
    )
    edited(new, command=made)
    assert judge(new, "--mp-margin", "errors=1.5")[1].endswith(
        "pytest benchmarks -k 'a or b' --mp-data 'my data' -m numerics --mp-workload bert-imdb --mp-precision fp16-amp "
        f"--mp-execution eager --mp-margin errors=1.5 --mp-baselines {baselines}"
    )


@pytest.mark.parametrize("command", ["pytest 'benchmarks", ""])
def test_a_command_that_nobody_can_type_is_not_told(accepted, save, judge, command):
    new = edited(save("new.json", gradient_error=0.02, datetime="2026-02-02T00:00:00+00:00"), command=command)
    code, out = judge(new)
    assert code == 1
    assert "--mp-workload" not in out


def test_what_passes_ends_without_a_command(run_file, judge):
    assert "--mp-workload" not in judge(run_file)[1]


@pytest.mark.parametrize("command", ["judge", "show"])
@pytest.mark.parametrize("kind", ["nothing", "a file"])
def test_a_folder_that_is_not_there_is_one_sentence(run_file, baselines, capsys, command, kind):
    if kind == "a file":
        baselines.write_text("")
    assert main([command, *([str(run_file)] if command == "judge" else []), "--baselines", str(baselines)]) == 4
    out, err = capsys.readouterr()
    expected = "expected a folder, such as one that python -m mpcore accept made"
    assert (out, err) == ("", f"mpcore: --baselines {str(baselines)!r}: {expected}\n")
