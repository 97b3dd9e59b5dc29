"""What all commands have in common."""

import json
import subprocess
import sys

import pytest

from mpcore.__main__ import main
from mpcore.commands import COMMANDS

NAMES = [command.__name__.rpartition(".")[2] for command in COMMANDS]
HEAVY = ("torch", "scipy", "pandas", "matplotlib", "rich", "jinja2")


@pytest.mark.parametrize("name", NAMES)
def test_a_command_answers_at_once_what_it_is_for(name):
    code = (
        "import sys; from mpcore.__main__ import main\n"
        f"try: main([{name!r}, '--help'])\n"
        f"except SystemExit: sys.exit(str([m for m in {HEAVY} if m in sys.modules] or ''))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "\n")
    assert f"usage: python -m mpcore {name}" in done.stdout


def test_help_lists_all_commands(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    listed = capsys.readouterr().out.split()
    assert [name for name in NAMES if name not in listed] == []


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
    assert ("pytest benchmarks" in done.stdout) is not bad
    assert ("Traceback" in done.stderr, done.stderr.count("\n")) == (False, int(bad))


def test_no_command_needs_torch_to_show_or_judge_what_is_saved(run_file, baselines):
    arguments = json.dumps([["judge", str(run_file)], ["report", str(run_file)], ["compare", str(run_file)], ["show"]])
    code = (
        f"import sys; from mpcore.__main__ import main\nfor a in {arguments}: assert main(a) == 0\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=run_file.parent, capture_output=True, check=False).returncode == 0


def test_a_project_whose_settings_cannot_be_read_is_one_sentence(tmp_path, monkeypatch, capsys):
    (tmp_path / "pyproject.toml").write_text("[tool")
    monkeypatch.chdir(tmp_path)
    assert main(["show"]) == 4
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(f"mpcore: cannot read {tmp_path / 'pyproject.toml'}: ")
