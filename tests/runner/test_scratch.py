"""Temporary folders, and which of them a killed process left."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from mpcore.runner.scratch import LOCK, Scratch, abandoned

MADE = "from mpcore.runner.scratch import Scratch; made = Scratch('mpcore-x-'); print(made.path, flush=True); input()"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield tmp_path
    tempfile.tempdir = None


def begun():
    process = subprocess.Popen([sys.executable, "-c", MADE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    return process, Path(process.stdout.readline().strip())


def test_it_is_gone_once_it_is_closed(folder):
    made = Scratch("mpcore-x-")
    assert made.path.parent == folder
    assert not abandoned(made.path)
    made.close()
    assert list(folder.iterdir()) == []


def test_what_a_killed_process_left_goes_with_the_next_one_and_nothing_else(folder):
    killed, left = begun()
    running, kept = begun()
    killed.kill()
    killed.wait()
    foreign, other = folder / "mpcore-x-notes", folder / "mpcore-y-1"
    for path in (foreign, other):
        path.mkdir()
    (other / LOCK).write_text("")
    assert (abandoned(left), abandoned(kept), abandoned(foreign)) == (True, False, False)
    made = Scratch("mpcore-x-")
    assert set(folder.iterdir()) == {made.path, kept, foreign, other}
    made.close()
    running.communicate("\n", timeout=60)
