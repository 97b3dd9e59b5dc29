"""Cases in fresh processes: what happens to a process is a sentence, and nothing of it is left."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import stub

from mpcore.records import Failure, Selection, Speed, Timing
from mpcore.runner import Limits, Runner, RunnerError, confirm

ROOT = Path(__file__).parent.parent
A, B, C = (stub.case(name) for name in "abc")
ALL = {"a": 0.001, "b": 0.002, "c": 0.003}

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


def sentences(measured):
    return {case.workload: answer.sentence for case, answer in measured.items() if isinstance(answer, Failure)}


def alive(process_id):
    """Whether it runs: one that has ended and was not asked for does not."""
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rsplit(")")[-1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone(process_id, seconds=10.0):
    end = time.monotonic() + seconds
    while alive(process_id) and time.monotonic() < end:
        time.sleep(0.02)
    return not alive(process_id)


def test_it_lists_and_measures_whatever_workloads_print(tmp_path):
    with Runner(stub.tree(tmp_path, ALL), Selection()) as runner:
        assert [case for case, _ in runner.listing().cases] == [A, B, C]
        measured = runner.measure([B, A], handicap=2.0)
    assert [(case, type(answer)) for case, answer in measured.items()] == [(B, Timing), (A, Timing)]
    assert measured[A].blocks.step_seconds == pytest.approx(0.002, rel=1e-3)
    assert measured[A].profile is None


def test_modules_are_those_of_the_tree_before_any_others(tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "only_there.py").write_text("")
    tree = stub.tree(tmp_path, ALL, first="import only_there, sys; assert sys.path[1] == os.getcwd()")
    with Runner(tree, Selection()) as runner:
        assert sentences(runner.measure([A])) == {}


def test_a_process_that_does_not_import_says_its_cause(tmp_path):
    with Runner(stub.tree(tmp_path, ALL, first="import nowhere"), Selection()) as runner:
        with pytest.raises(RunnerError) as refused:
            runner.listing()
        cause = "its process ended with exit code 1: ModuleNotFoundError: No module named 'nowhere' (<string>, line 1)"
        assert str(refused.value) == cause
        assert sentences(runner.measure([A, B])) == {"a": cause, "b": cause}


def test_a_selection_that_is_refused_says_why(tmp_path):
    with Runner(stub.tree(tmp_path, ALL, refuses="no data folder 'x'"), Selection()) as runner:
        assert sentences(runner.measure([A])) == {"a": "no data folder 'x'"}


def test_a_crash_loses_its_case_and_no_other(tmp_path):
    tree = stub.tree(tmp_path, ALL, does={"b": "os.kill(os.getpid(), signal.SIGSEGV)"})
    with Runner(tree, Selection()) as runner:
        measured = runner.measure([A, B, C])
    assert sentences(measured)["b"].startswith("its process was ended by SIGSEGV")
    assert [isinstance(measured[case], Timing) for case in (A, B, C)] == [True, False, True]


def test_an_exception_is_its_last_line_and_its_place(tmp_path):
    with Runner(stub.tree(tmp_path, ALL, does={"a": "raise ValueError('a b c')"}), Selection()) as runner:
        assert sentences(runner.measure([A])) == {
            "a": "its process ended with exit code 1: ValueError: a b c (<string>, line 1)"
        }


def test_what_a_process_has_said_before_is_not_why_it_ended(tmp_path):
    does = {"a": "print('a warning of old', file=sys.stderr, flush=True); os._exit(3)"}
    with Runner(stub.tree(tmp_path, ALL, does=does), Selection()) as runner:
        assert sentences(runner.measure([A])) == {"a": "its process ended with exit code 3"}


def test_a_hang_is_ended(tmp_path):
    tree = stub.tree(tmp_path, ALL, does={"b": "time.sleep(1000)"})
    with Runner(tree, Selection(), limits=Limits(case=1.0)) as runner:
        measured = runner.measure([A, B, C])
    assert sentences(measured) == {"b": "its process took more than 1 s for one answer and was ended"}


def test_an_answer_of_another_version_is_told(tmp_path):
    with Runner(stub.tree(tmp_path, ALL, answers={"a": {"kind": "failure"}}), Selection()) as runner:
        assert "another layout than this version reads: failure.case" in sentences(runner.measure([A]))["a"]


@pytest.mark.parametrize("python", ["nowhere/python", "/dev/null"])
def test_a_python_that_does_not_start_is_named(tmp_path, python):
    with pytest.raises(RunnerError, match=f"cannot start {python}"):
        Runner(stub.tree(tmp_path, ALL), Selection(), python)


def test_it_ends_with_all_that_it_has_started(tmp_path):
    first = "import subprocess; Path('ids').write_text(f'{os.getpid()} {subprocess.Popen([\"sleep\", \"1000\"]).pid}')"
    with Runner(stub.tree(tmp_path, ALL, first=first), Selection()) as runner:
        runner.measure([A])
        processes = [int(text) for text in (tmp_path / "ids").read_text().split()]
        assert all(alive(process) for process in processes)
    assert all(gone(process) for process in processes)


@pytest.fixture(scope="module")
def runner(tmp_path_factory):
    own = tmp_path_factory.mktemp("own") / "own.py"
    registered = OWN.replace("class ", "@workloads.register\nclass ")
    own.write_text(registered)
    named = {"workloads": ("talkative", "fails", "gone"), "precisions": ("fp32", "tf32"), "size": "tiny", "device": "cpu"}
    with Runner(ROOT, Selection(**named, data="embedded", load=(str(own),))) as runner:
        yield runner


@pytest.fixture(scope="module")
def cases(runner):
    return [case for case, reason in runner.listing().cases if reason is None]


class TestTheRealProcess:
    def test_it_lists_what_there_is_with_reasons(self, runner, cases):
        listing = runner.listing()
        assert [case.id for case in cases] == ["talkative-fp32-eager-tiny", "fails-fp32-eager-tiny"]
        reasons = [reason for _, reason in listing.cases if reason is not None]
        assert len(reasons) == 2
        assert all(reason.startswith("tf32 needs an NVIDIA GPU") for reason in reasons)
        assert listing.unknown[0][1].startswith("unknown workload 'gone'; known are")
        assert "torch" in listing.machine.software

    def test_it_times_what_talks_and_says_what_fails(self, runner, cases):
        talkative, fails = runner.measure(cases, profile=True).values()
        assert (talkative.case, talkative.pool_bytes) == (cases[0], None)
        assert talkative.profile.seconds > 0
        assert fails.sentence.startswith("fails: loss() failed: KeyError: 'nothing'")
        assert not fails.skipped

    def test_a_handicap_makes_a_step_longer(self, runner, cases):
        plain, slower = (runner.measure(cases[:1], handicap=h)[cases[0]].blocks.step_seconds for h in (1.0, 5.0))
        assert slower > 2 * plain

    def test_a_speed_has_no_references(self, runner, cases):
        (speed,) = runner.measure(cases[:1], kind="speed").values()
        assert isinstance(speed, Speed)
        assert speed.references == {}

    def test_it_ends_with_whoever_started_it(self, tmp_path):
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


def test_a_confirmation_finds_the_modules_that_this_process_finds(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    elsewhere = stub.tree(
        tmp_path / "elsewhere", ALL, answers={"a": {"kind": "failure", "case": None, "sentence": "no memory"}}
    )
    monkeypatch.setattr(sys, "path", [str(elsewhere), *sys.path])
    assert confirm(A, Selection()) == "no memory"
    assert os.listdir(tmp_path) == ["elsewhere"]  # noqa: PTH208


def test_a_confirmation_that_cannot_begin_says_why(monkeypatch):
    monkeypatch.setattr(Runner.__init__, "__defaults__", ("nowhere/python",))
    assert confirm(A, Selection()).startswith("cannot start nowhere/python in ")
