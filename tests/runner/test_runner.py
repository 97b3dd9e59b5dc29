"""Cases in fresh processes: what happens to a process is a sentence, and nothing of it is left."""

import os
import sys
import time

import pytest
import stub
from processes import alive, gone

from mpcore.records import Failure, Selection, Timing
from mpcore.runner import Runner, RunnerError, Timeouts, confirm, narrowed

A, B, C = (stub.case(name) for name in "abc")
ALL = {"a": 0.001, "b": 0.002, "c": 0.003}


def sentences(measured):
    return {case.workload: answer.sentence for case, answer in measured.items() if isinstance(answer, Failure)}


def test_it_lists_and_measures_whatever_workloads_print(tmp_path):
    with Runner(stub.tree(tmp_path, ALL), Selection()) as runner:
        assert [case for case, _ in runner.listing().cases] == [A, B, C]
        measured = runner.measure([B, A], slowdown=2.0)
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


def test_an_exception_need_not_be_called_an_error(tmp_path):
    does = {"a": "raise type('Unheard', (Exception,), {'__module__': 'mine'})('a b c')"}
    with Runner(stub.tree(tmp_path, ALL, does=does), Selection()) as runner:
        ended = "its process ended with exit code 1: mine.Unheard: a b c (<string>, line 1)"
        assert sentences(runner.measure([A])) == {"a": ended}


def test_what_a_process_has_said_before_is_not_why_it_ended(tmp_path):
    does = {"a": "print('a warning of old', file=sys.stderr, flush=True); os._exit(3)"}
    with Runner(stub.tree(tmp_path, ALL, does=does), Selection()) as runner:
        assert sentences(runner.measure([A])) == {"a": "its process ended with exit code 3"}


@pytest.mark.parametrize(
    ("last", "said"),
    [
        ("W1128 10:00:00 _pytree.py:630] deprecated, and will be an error in a future release.", ""),
        ("Fatal Python error: Segmentation fault", ": Fatal Python error: Segmentation fault"),
        ("RuntimeError: CUDA error: an illegal memory access", ": RuntimeError: CUDA error: an illegal memory access"),
    ],
)
def test_a_warning_is_not_why_a_process_died(tmp_path, last, said):
    does = {"a": f"print({last!r}, file=sys.stderr, flush=True); os.kill(os.getpid(), signal.SIGSEGV)"}
    with Runner(stub.tree(tmp_path, ALL, does=does), Selection()) as runner:
        assert sentences(runner.measure([A])) == {"a": f"its process was ended by SIGSEGV{said}"}


def test_what_hangs_is_told_from_what_fails_and_its_limit_can_be_given(tmp_path):
    tree = stub.tree(tmp_path, ALL, does={"a": "time.sleep(1000)", "b": "os._exit(3)"})
    with Runner(tree, Selection()) as runner:
        measured = runner.measure([A, B], seconds=1.0)
    assert [measured[case].hung for case in (A, B)] == [True, False]


def test_a_hang_is_ended(tmp_path):
    tree = stub.tree(tmp_path, ALL, does={"b": "time.sleep(1000)"})
    with Runner(tree, Selection(), timeouts=Timeouts(case=1.0)) as runner:
        measured = runner.measure([A, B, C])
    assert sentences(measured) == {"b": "its process took more than 1 s for one response and was ended"}


def test_a_response_of_another_layout_is_told(tmp_path):
    with Runner(stub.tree(tmp_path, ALL, answers={"a": {"kind": "failure"}}), Selection()) as runner:
        assert "another layout than this version reads: failure.case" in sentences(runner.measure([A]))["a"]


def test_two_measure_at_once(tmp_path):
    """The second begins before the answers of the first are taken."""
    does = {"a": "open('began', 'w').close()"}
    first, second = (stub.tree(tmp_path / name, ALL, does=does) for name in ("first", "second"))
    with Runner(first, Selection()) as one, Runner(second, Selection()) as other:
        begun = one.measuring([A, B]), other.measuring([A, B])
        _until((first / "began").exists)
        _until((second / "began").exists)
        assert [[case for case, _ in answers] for answers in begun] == [[A, B], [A, B]]


def test_a_crash_loses_no_case_that_was_asked_for_before_it(tmp_path):
    tree = stub.tree(tmp_path, ALL, does={"a": "os.abort()"})
    with Runner(tree, Selection()) as runner:
        measured = dict(runner.measuring([A, B, C]))
    assert [isinstance(measured[case], Timing) for case in (A, B, C)] == [False, True, True]


def test_a_process_that_does_not_get_ready_is_waited_for_once(tmp_path):
    tree = stub.tree(tmp_path, ALL, first="time.sleep(1000)")
    with Runner(tree, Selection(), timeouts=Timeouts(ready=1.0)) as runner:
        begin = time.monotonic()
        measured = runner.measure([A, B, C])
    assert time.monotonic() - begin < 3
    assert set(sentences(measured).values()) == {"its process took more than 1 s to get ready and was ended"}
    assert len(measured) == 3


def test_work_is_counted(tmp_path):
    tree = stub.tree(tmp_path, ALL, answers={"a": stub.work("a").model_dump(mode="json")})
    with Runner(tree, Selection()) as runner:
        assert runner.measure([A], kind="work") == {A: stub.work("a")}


@pytest.mark.parametrize(("outer", "inner"), [(None, "1"), ("7", "7")])
def test_a_variable_of_its_own_counts_where_the_user_has_set_none(tmp_path, monkeypatch, outer, inner):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if outer is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", outer)
    tree = stub.tree(tmp_path, ALL, first="open('threads', 'w').write(os.environ['OMP_NUM_THREADS'])")
    with Runner(tree, Selection(), environment={"OMP_NUM_THREADS": "1"}) as runner:
        runner.listing()
    assert (tree / "threads").read_text() == inner


def _until(true, seconds=60.0):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


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


def test_a_confirmation_finds_the_modules_that_this_process_finds(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    elsewhere = stub.tree(
        tmp_path / "elsewhere", ALL, answers={"a": {"kind": "failure", "case": None, "sentence": "no memory"}}
    )
    monkeypatch.setattr(sys, "path", [str(elsewhere), *sys.path])
    assert confirm(A, Selection()) == "no memory"
    assert os.listdir(tmp_path) == ["elsewhere"]  # noqa: PTH208


def test_what_names_its_workloads_says_nothing_of_files_besides():
    found = narrowed(Selection(load=("a.py",), loaded_alone=("a",)), [A])
    assert (found.workloads, found.load, found.loaded_alone) == (("a",), ("a.py",), ())


def test_a_confirmation_that_cannot_begin_says_why(monkeypatch):
    monkeypatch.setattr(sys, "executable", "nowhere/python")
    assert confirm(A, Selection()).startswith("cannot start nowhere/python in ")
