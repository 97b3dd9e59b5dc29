"""`python -m mpcore ab` with processes that answer at once, and how it ends."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import stub
from repositories import git, left_behind
from scripted import statuses

from mpcore.ab import in_each_tree
from mpcore.records import Comparison, Selection

ROOT = Path(__file__).parent.parent.parent


def environment():
    """In which the command is ours and the processes are the stub's."""
    return os.environ | {"PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1"}


def command(*arguments):
    return [sys.executable, "-m", "mpcore", "ab", *arguments]


def ab(*arguments):
    return subprocess.run(command(*arguments), env=environment(), capture_output=True, text=True, check=False)


def started(*arguments):
    """The command as a terminal starts it: what a script starts in the background ignores Ctrl-C, what nohup starts a hang-up,
    and so do their children."""

    def heed():
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)

    return subprocess.Popen(
        command(*arguments),
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=heed,
    )


class TestTheCommand:
    def test_what_got_slower_since_a_revision(self, repository):
        stub.tree(repository, {"a": 0.001, "b": 0.0021})
        done = ab("main", "--json", "out.json", "--markdown", "out.md")
        assert done.returncode == 1, done.stderr
        comparison = Comparison.model_validate_json((repository / "out.json").read_text())
        assert statuses(comparison) == {"a": ["same", "same"], "b": ["worse", "same"]}
        assert "6 fresh pairs confirm it" in comparison.cases[1].regressions[0].sentence
        assert "| b-fp32-graph-full |" in (repository / "out.md").read_text()
        first = git(repository, "rev-parse", "HEAD")[:12]
        again = f"python -m mpcore ab {first} --mp-workload b --mp-precision fp32 --mp-execution graph"
        assert done.stdout.rstrip().endswith(again)
        assert ab(*again.split()[4:]).returncode == 1
        assert "mpcore: pair 6 of 6, about 0 min" in done.stderr
        assert left_behind(repository) == []

    def test_nothing_got_slower(self, repository):
        assert ab("main", "HEAD").returncode == 0

    def test_a_head_that_does_not_import(self, repository):
        stub.tree(repository, {"a": 0.001}, first="import nowhere")
        done = ab("main")
        assert done.returncode == 2
        assert done.stderr.splitlines()[-1] == (
            "mpcore: head (the working tree) cannot be measured: "
            "its process ended with exit code 1: ModuleNotFoundError: No module named 'nowhere' (<string>, line 1)"
        )
        assert left_behind(repository) == []

    def test_a_crash_in_head_only_loses_that_case(self, repository):
        stub.tree(repository, {"a": 0.001, "b": 0.002}, does={"a": "os.abort()"})
        done = ab("main")
        assert done.returncode == 2
        assert "failed: a-fp32-graph-full: 4 of 4 pairs are lost" in done.stdout
        assert "SIGABRT" in done.stdout
        assert "Traceback" not in done.stdout + done.stderr

    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            (("nowhere",), "mpcore: 'nowhere' is neither a folder nor a revision"),
            (("main", "--mp-workload", ","), "mpcore: --mp-workload ',': expected names separated by commas"),
            (("main", "--json", "nowhere/x.json"), "mpcore: cannot write nowhere/x.json: No such file or directory"),
            (("main", "--json", "/proc/x.json"), "mpcore: cannot write /proc/x.json: "),  # which not even root can
            (("main", "--markdown", "."), "mpcore: cannot write .: it is a folder"),
            ((), "mpcore: nothing to compare with"),
            *(
                (("main", "--work-only", option), f"mpcore: --work-only neither times nor trains: expected no {option}")
                for option in ("--accuracy", "--time-all", "--baselines=baselines", "--mp-margin=pair-time=1")
            ),
            (("main", "--time-all", "--accuracy"), "mpcore: --time-all judges time alone: expected no --accuracy"),
        ],
    )
    def test_a_mistake_is_one_sentence(self, repository, arguments, sentence):
        done = ab(*arguments)
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert line.startswith(sentence)

    @pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
    def test_nothing_is_left_where_it_is_interrupted(self, repository, sent, code):
        stub.tree(repository, {"a": 0.001}, does={"a": "open('running', 'w').write(str(os.getpid())); time.sleep(1000)"})
        git(repository, "commit", "-q", "-a", "-m", "hangs")
        process = started("main")
        running = self._running(repository)
        os.killpg(process.pid, sent)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == code
        assert "Traceback" not in errors
        assert not Path(f"/proc/{running}").exists()
        assert left_behind(repository) == []

    def test_nothing_is_left_where_the_folders_are_still_being_made(self, repository):
        process = started("main")
        while not left_behind(repository) and process.poll() is None:
            time.sleep(0.001)
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=60)
        assert process.returncode == 130
        assert left_behind(repository) == []

    def _running(self, repository):
        """The process that is measuring."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            for tree in (repository, *repository.parent.glob("mpcore-ab-*/*")):
                if (tree / "running").is_file() and (text := (tree / "running").read_text()):
                    return int(text)
            time.sleep(0.01)
        raise AssertionError("no process measures")


def test_a_file_in_the_tree_is_each_sides_own_and_another_is_shared(repository, tmp_path):
    (repository / "inside").mkdir()
    os.chdir(repository / "inside")
    selection = Selection(load=("../mine.py", str(tmp_path / "shared.py")))
    placed = in_each_tree(selection, [repository / "configured.py", repository / "mine.py"], [repository])
    assert placed.load == ("configured.py", "mine.py", str(tmp_path / "shared.py"))


def test_a_folder_of_data_is_found_from_each_tree(repository, monkeypatch):
    (repository / "data").mkdir()
    assert in_each_tree(Selection(data="data"), [], []).data == str(repository / "data")
    assert in_each_tree(Selection(data="hub"), [], []).data == "hub"
    monkeypatch.setenv("MPCORE_DATA", "data")
    assert in_each_tree(Selection(), [], []).data == str(repository / "data")


class TestTheProject:
    """What its configuration says counts for `ab`, too."""

    def test_its_margins(self, repository):
        stub.tree(repository, {"a": 0.001, "b": 0.0021})
        (repository / "pyproject.toml").write_text('[tool.mpcore.margins]\n"b-*" = { pair-time = 10 }\n')
        assert ab("main").returncode == 0
        assert ab("main", "--mp-margin", "pair-time=1").returncode == 1

    def test_a_margin_that_is_not_one(self, repository):
        (repository / "pyproject.toml").write_text("[tool.mpcore.margins]\npair-tim = 10\n")
        done = ab("main")
        assert done.returncode == 2
        assert "there is no margin 'pair-tim': expected one of" in done.stderr

    @pytest.mark.parametrize("section", ["[tool.pytest.ini_options]", "[tool.pytest]"])
    def test_its_files_of_workloads(self, repository, section):
        (repository / "pyproject.toml").write_text(f"{section}\nmp_load = ['mine/own.py']\n")
        assert ab("main", "--json", "out.json").returncode == 0
        comparison = Comparison.model_validate_json((repository / "out.json").read_text())
        assert comparison.selection.load == ("mine/own.py",)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(("status", "code"), [("worse", 1), ("same", 2)])
def test_what_is_worse_is_so_though_it_cannot_be_shown(repository, status, code):
    stub.tree(repository, {"a": 0.0011 if status == "worse" else 0.001, "b": 0.002})
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = subprocess.run(
            command("main", "--json", "out.json"),
            env=environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == code, done.stderr
    assert "the output cannot be written" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(("status", "code"), [("worse", 1), ("same", 2)])
def test_a_verdict_is_shown_though_its_file_cannot_be_written(repository, tmp_path, status, code):
    """Its folder becomes a file while it measures."""
    stub.tree(repository, {"a": 0.0011 if status == "worse" else 0.001, "b": 0.002})
    folder = tmp_path / "gone"
    folder.mkdir()
    running = subprocess.Popen(
        command("main", "--json", str(folder / "out.json")),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert "list their cases" in running.stderr.readline()
    shutil.rmtree(folder)
    folder.write_text("a file")
    out, err = running.communicate()
    assert running.returncode == code, err
    assert status in out
    told = [line for line in err.splitlines() if "cannot write" in line]
    assert told[0].endswith("it goes on")
    assert len(told) == 2


def test_an_option_that_cannot_be_read_does_not_make_a_commit_bad(repository):
    assert ab("main", "--mp-size", "huge").returncode == 2
    assert ab("main", "--mp-size", "huge", "--git-bisect").returncode == 125


def test_two_outputs_are_two_files(repository):
    done = ab("main", "--json", "out", "--markdown", "./out")
    assert done.returncode == 2
    assert "--json and --markdown both name out: expected two files" in done.stderr


def test_what_a_command_puts_in_place_is_known(repository):
    done = ab("main", "--head-command", "env X={treee}")
    assert done.returncode == 2
    assert "a command has {treee} in 'X={treee}': expected {tree}, which is a side's tree" in done.stderr


def test_what_is_worse_is_so_though_nobody_reads(repository):
    stub.tree(repository, {"a": 0.0011, "b": 0.002})
    read, write = os.pipe()
    os.close(read)
    streams = {"stdout": write, "stderr": subprocess.PIPE}
    done = subprocess.run(command("main"), env=environment(), text=True, check=False, **streams)
    os.close(write)
    assert done.returncode == 1, done.stderr
    assert done.stderr.splitlines()[-1] == "mpcore: the output cannot be written, and head is worse"
