"""The process that measures, as it is."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from processes import alive, gone

from mpcore.records import Selection, Speed, Work
from mpcore.runner import Runner

ROOT = Path(__file__).parent.parent.parent

OWN = """
from mpcore.registry import workloads
from mpcore.workloads.ncf_movielens import NcfMovieLens


class Talkative(NcfMovieLens):
    name = "talkative"

    def loss(self, model, batch):
        print("some words")
        return super().loss(model, batch)


class Fails(NcfMovieLens):
    name = "fails"

    def loss(self, model, batch):
        return batch["nothing"]
"""


@pytest.fixture(scope="module")
def runner(tmp_path_factory):
    own = tmp_path_factory.mktemp("own") / "own.py"
    registered = OWN.replace("class ", "@workloads.register\nclass ")
    own.write_text(registered)
    named = {"workloads": ("talkative", "fails", "gone"), "precisions": ("fp32", "tf32"), "size": "tiny", "device": "cpu"}
    with Runner(ROOT, Selection(**named, data="embedded", load=(str(own),))) as runner:
        yield runner


def test_it_says_that_a_file_left_out_all_other_workloads(runner, tmp_path):
    own = tmp_path / "own.py"
    own.write_text(OWN.replace("class ", "@workloads.register\nclass "))
    selection = Selection(precisions=("fp32",), device="cpu", data="embedded", load=(str(own),), loaded_alone=("own",))
    with Runner(ROOT, selection) as alone:
        listing = alone.listing()
    assert {case.workload for case, _ in listing.cases} == {"talkative", "fails"}
    assert (listing.alone, runner.listing().alone) == (True, False)


@pytest.fixture(scope="module")
def cases(runner):
    return [case for case, reason in runner.listing().cases if reason is None]


def test_it_lists_what_there_is_with_reasons(runner, cases):
    listing = runner.listing()
    assert [case.id for case in cases] == ["talkative-fp32-eager-tiny", "fails-fp32-eager-tiny"]
    reasons = [reason for _, reason in listing.cases if reason is not None]
    assert len(reasons) == 2
    assert all(reason.startswith("tf32 needs an NVIDIA GPU") for reason in reasons)
    assert listing.unknown[0][1].startswith("unknown workload 'gone'; known are")
    assert "torch" in listing.machine.software


@pytest.mark.parametrize("own", [True, False])
def test_it_tells_a_tree_with_code_from_one_without(tmp_path, own):
    (tmp_path / "mine.py").write_text(OWN.replace("class ", "@workloads.register\nclass "))
    named = {"workloads": ("ncf-movielens",), "precisions": ("fp32",), "size": "tiny", "device": "cpu", "data": "embedded"}
    with Runner(tmp_path, Selection(**named, load=("mine.py",) if own else ())) as runner:
        assert runner.listing().own is own


def test_it_times_what_talks_and_says_what_fails(runner, cases):
    talkative, fails = runner.measure(cases, profile=True).values()
    assert (talkative.case, talkative.pool_bytes) == (cases[0], None)
    assert talkative.profile.seconds > 0
    assert fails.sentence.startswith("fails: loss() failed: KeyError: 'nothing'")
    assert not fails.skipped


def test_a_slowdown_makes_a_step_longer(runner, cases):
    plain, slower = (runner.measure(cases[:1], slowdown=h)[cases[0]].blocks.step_seconds for h in (1.0, 5.0))
    assert slower > 2 * plain


def test_a_speed_has_no_references(runner, cases):
    (speed,) = runner.measure(cases[:1], kind="speed").values()
    assert isinstance(speed, Speed)
    assert speed.references == {}


def test_work_is_what_a_step_does(runner, cases):
    (work,) = runner.measure(cases[:1], kind="work").values()
    assert isinstance(work, Work)
    assert {op.name for op in work.counts} >= {"addmm", "embedding"}
    assert "work" in runner.listing().kinds


def test_it_ends_with_whoever_started_it():
    """However that ends."""
    code = (
        "import time; from pathlib import Path; from mpcore.runner import Runner; from mpcore.records import Selection\n"
        "runner = Runner(Path.cwd(), Selection()); print(runner._process._popen.pid, flush=True); time.sleep(1000)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    while b"mpcore.runner" not in Path(f"/proc/{child}/cmdline").read_bytes():
        time.sleep(0.01)
    assert alive(child)
    parent.kill()
    parent.wait()
    assert gone(child, 60.0)
