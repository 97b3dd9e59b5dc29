"""What all commands have in common."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

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


# Systems that nothing can be measured on

WINDOWS = "sys.platform = 'win32'; sys.modules['fcntl'] = None"
NO_TEMPORARY = """
import tempfile
def _nowhere(): raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")
tempfile.tempdir, tempfile._get_default_tempdir = None, _nowhere
"""
ON_WINDOWS = "nothing is measured on Windows: expected Linux, as in WSL2 (Windows Subsystem for Linux)"
NOWHERE = "No usable temporary directory found in ['/tmp']: expected a folder that can be written to, which TMPDIR may name"
MEASURING = [
    (["doctor"], 4),
    (["theory"], 4),
    (["ab", "HEAD"], 2),
    (["ab", "HEAD", "--git-bisect"], 125),
    (["scale"], 2),
    (["calibrate", "--measure"], 2),
    (["calibrate", "--sensitivity"], 2),
]


def on_system(system, arguments):
    """The exit code and standard error, and whether torch was imported, as the last line of standard output."""
    code = (
        f"import sys; from mpcore.__main__ import main\n{system}\ncode = main({arguments!r})\n"
        "print('torch' in sys.modules); sys.exit(code)"
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize(("system", "sentence"), [(WINDOWS, ON_WINDOWS), (NO_TEMPORARY, NOWHERE)], ids=["windows", "no-tmp"])
@pytest.mark.parametrize(("arguments", "code"), MEASURING)
def test_a_system_that_nothing_can_be_measured_on_is_one_sentence_before_torch(system, sentence, arguments, code):
    done = on_system(system, arguments)
    assert (done.returncode, done.stderr, done.stdout) == (code, f"mpcore: {sentence}\n", "False\n")


def test_no_baseline_is_made_on_windows(run_file, baselines):
    done = on_system(WINDOWS, ["accept", str(run_file), "--reason", "x", "--baselines", str(baselines)])
    assert (done.returncode, done.stderr) == (4, f"mpcore: {ON_WINDOWS}\n")
    assert not baselines.exists()


@pytest.mark.parametrize("system", [WINDOWS, NO_TEMPORARY], ids=["windows", "no-tmp"])
def test_what_is_saved_is_shown_on_any_system(system, run_file):
    assert on_system(system, ["report", str(run_file)]).returncode == 0


# Output that cannot be written


@pytest.mark.parametrize("command", ["report", "compare", "show", "accept"])
def test_a_reader_that_has_gone_ends_it_quietly(run_file, baselines, command):
    baselines.mkdir()
    arguments = {
        "show": ["show", "--baselines", baselines],
        "accept": ["accept", run_file, "--reason", "x", "--baselines", baselines],
    }.get(command, [command, run_file])
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "mpcore", *arguments], stdout=write, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")
    assert len(list(baselines.rglob("0001_*.json"))) == (command == "accept")  # it is accepted, whoever reads of it


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_output_that_finds_no_room_is_one_sentence(run_file):
    with open("/dev/full", "w") as full:  # noqa: PTH123
        command = [sys.executable, "-m", "mpcore", "report", run_file]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (4, "mpcore: the output cannot be written: No space left on device\n")


@pytest.mark.parametrize("closed", ["stdout", "stderr"])
@pytest.mark.parametrize("file", ["run", "missing.json"])
def test_a_closed_stream_changes_no_exit_code(run_file, closed, file):
    """As a service manager or `>&-` closes them. What is for one of them does not go to the other."""
    path = run_file if file == "run" else file
    redirected = {"stdout": ">&-", "stderr": "2>&-"}[closed]
    command = shlex.join([sys.executable, "-m", "mpcore", "judge", str(path)])
    done = subprocess.run(f"{command} {redirected}", shell=True, capture_output=True, text=True, check=False)
    assert done.returncode == (0 if file == "run" else 4)
    assert "Traceback" not in done.stderr
    assert (done.stdout == "") is (closed == "stdout" or file != "run")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_message_that_finds_no_room_changes_no_exit_code(run_file):
    with open("/dev/full", "w") as full:  # noqa: PTH123
        command = [sys.executable, "-m", "mpcore", "report", run_file, "missing.json"]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=full, text=True, check=False)
    assert done.returncode == 4
    assert "pytest benchmarks" in done.stdout


def test_another_error_is_not_taken_for_one_of_output(monkeypatch, run_file):
    def fail(options):
        raise FileNotFoundError(2, "No such file or directory", "x")

    monkeypatch.setattr("mpcore.commands.report.run", fail)
    with pytest.raises(FileNotFoundError):
        main(["report", str(run_file)])


@pytest.mark.parametrize("command", ["show", "judge", "accept"])
def test_the_folder_of_one_machine_is_not_taken_for_that_of_all(run_file, baselines, command, capsys):
    main(["accept", str(run_file), "--reason", "x", "--baselines", str(baselines)])
    inner = baselines / "some-cpu-2-cores"
    arguments = {"show": [], "judge": [str(run_file)], "accept": [str(run_file), "--reason", "x"]}[command]
    capsys.readouterr()
    assert main([command, *arguments, "--baselines", str(inner)]) == 4
    found = "0001_01234567.json: expected the folder above it"
    assert capsys.readouterr().err == f"mpcore: {inner} itself holds accepted runs, such as {found}\n"


def test_a_file_whose_name_is_no_text_is_shown(run_file, tmp_path):
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.json"))
    run_file.rename(odd)
    for arguments in (["report", odd, "-o", "page.html"], ["report", odd], ["compare", odd, odd]):
        command = [sys.executable, "-m", "mpcore", *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), arguments
    assert "caf" in (tmp_path / "page.html").read_text()
