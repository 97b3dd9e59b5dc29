"""Two ranks over gloo, with faults planted in the second: its cause is said, nothing is left, and the next case runs."""

import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path
from types import SimpleNamespace

import pytest
from started import PLANTED, case, launcher

from mpcore.device import agreement
from mpcore.parallel import worker
from mpcore.parallel.launch import Launch
from mpcore.parallel.launches import Launches
from mpcore.parallel.lines import Event
from mpcore.records import Failure, Fault, Ready, Selection, Timing
from mpcore.runner import RunnerError

MARK = "MPCORE_TEST_MARK"


@pytest.fixture
def left(monkeypatch):
    """The processes that a test has started and that live."""
    mark = f"{MARK}={uuid.uuid4()}"
    monkeypatch.setenv(*mark.split("="))

    def left():
        return [process for process in Path("/proc").glob("[0-9]*") if _has(process, mark)]

    yield left
    for process in left():
        os.kill(int(process.name), signal.SIGKILL)


def _has(process, mark):
    try:
        living = process.joinpath("stat").read_text().rsplit(")")[-1].split()[0] != "Z"
        return living and mark in process.joinpath("environ").read_text().split("\0") and process.name != str(os.getpid())
    except OSError:
        return False


def soon(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


def measured(runner, *names):
    return [measured for _, measured in runner.measuring([case(name) for name in names])]


def test_one_launch_measures_cases_and_those_that_fail_on_all_ranks(left):
    with launcher("good", "both") as ranks:
        found = measured(ranks, "good", "both", "good")
        launch = ranks._process
        assert [type(each) for each in found] == [Timing, Failure, Timing]
        lines = Path(PLANTED).read_text().splitlines()
        number = 1 + next(number for number, line in enumerate(lines) if "both fail" in line)
        said = f'both: loss() failed: both fail (planted.py, line {number}: raise ValueError("both fail"))'
        assert found[1].sentence == said
        assert len(left()) == 3
        assert set(launch._lines.processes) == {0, 1}
    assert not left()
    assert not launch._folder.exists()


def test_a_launch_gets_ready_and_touches_no_device_before_it_is_asked(monkeypatch):
    """Orders come before the device is taken: another launch may be measuring there."""
    for name, value in (("RANK", "0"), ("LOCAL_RANK", "0"), ("WORLD_SIZE", "1"), ("MASTER_ADDR", "127.0.0.1")):
        monkeypatch.setenv(name, value)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MASTER_PORT", str(free.getsockname()[1]))
    monkeypatch.setattr(agreement, "_store", None)
    happened = []

    class Orders:
        def order(self):
            happened.append("asked")
            return Selection(workloads=("good",), load=(PLANTED,), size="tiny").model_dump_json()

        def taken(self, order):
            pass

        def say(self, record):
            pass

    def device_of_rank(name):
        happened.append("device")
        raise KeyboardInterrupt

    monkeypatch.setattr(worker, "device_of_rank", device_of_rank)
    with pytest.raises(KeyboardInterrupt):
        worker._serve(Orders(), "cpu")
    assert happened == ["asked", "asked", "device"]


def test_a_file_that_is_loaded_finds_the_group_of_all_ranks(tmp_path):
    file = tmp_path / "asks.py"
    file.write_text(f"from torch import distributed\nassert distributed.get_world_size() == 2\n{Path(PLANTED).read_text()}")
    with launcher("good", load=(str(file),)) as ranks:
        assert [type(each) for each in measured(ranks, "good")] == [Timing]


KILLED = """
import os, signal
from pathlib import Path

mark = Path(__file__).with_suffix(".mark")
if os.environ["RANK"] == "1" and len(mark.read_text()) < TIMES:
    mark.write_text(mark.read_text() + ".")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(("times", "expected"), [(1, [Failure, Timing, Timing]), (3, [Failure, Failure, Failure])])
def test_a_rank_that_is_killed_before_it_is_ready_fails_its_case_and_one_more_is_begun(left, tmp_path, times, expected):
    file = tmp_path / "killed.py"
    file.with_suffix(".mark").write_text("")
    file.write_text(KILLED.replace("TIMES", str(times)) + Path(PLANTED).read_text())
    with launcher("good", load=(str(file),)) as ranks:
        found = [measured(ranks, "good")[0] for _ in range(3)]
    assert [type(each) for each in found] == expected
    assert "the process of rank 1 was ended by SIGKILL" in found[0].sentence
    assert len(file.with_suffix(".mark").read_text()) == min(times, 2)
    assert not left()


def test_a_selection_that_is_refused_is_refused_in_the_same_words_again(left, tmp_path):
    file = tmp_path / "empty.py"
    file.write_text("")
    with launcher("good", load=(str(file),)) as ranks:
        first, second = (measured(ranks, "good")[0].sentence for _ in range(2))
    assert first == second
    assert "--mp-load empty.py registers nothing" in first
    assert not left()


@pytest.mark.parametrize("rank", [0, 1])
def test_a_workload_that_one_rank_does_not_know_fails_in_one_sentence(left, tmp_path, rank):
    """The other rank waits for it in a collective."""
    file = tmp_path / "mine.py"
    others = f"if os.environ.get('RANK') != '{rank}':\n    register(Mine)\n"
    file.write_text(
        f"import os, runpy\nfrom mpcore import register\nGood = runpy.run_path({PLANTED!r})['Good']\n"
        f"class Mine(Good):\n    name = 'mine'\n    together = True\n{others}"
    )
    with launcher("mine", "good", load=(str(file),)) as ranks:
        failure, *others = measured(ranks, "mine", "good")
    assert failure.sentence.startswith(f"rank {rank}: unknown workload 'mine'; known are ")
    assert failure.sentence.endswith("in another process alone: expected the same in each")
    assert [type(other) for other in others] == [Timing]
    assert not left()


@pytest.fixture
def told():
    """A launch whose ranks say what is put there."""
    launch = Launch.__new__(Launch)
    launch._broken, launch._first, launch._waiting = None, None, 2
    launch._lines = SimpleNamespace(events=queue.Queue())
    return launch


def test_what_fails_before_rank_0_says_that_all_are_ready_is_not_forgotten(told):
    """Each rank has the first order by then."""
    for rank, line in ((1, Fault(sentence="no such case").model_dump_json()), (0, Ready().model_dump_json()), (1, None)):
        told._lines.events.put(Event(rank, line))
    assert isinstance(told.receive(1.0, ""), Ready)
    with pytest.raises(RunnerError, match="rank 1: no such case"):
        told.receive(1.0, "")


def test_what_ends_a_rank_in_cpp_is_said(left):
    """gloo ends a rank whose collective meets another one."""
    with launcher("mismatch") as ranks:
        (failure,) = measured(ranks, "mismatch")
    assert re.search(
        r"the process of rank \d was ended by SIGABRT: what\(\): .* Is there a distributed collective mismatch",
        failure.sentence,
    )


def test_ctrl_c_in_a_hang_says_where_each_rank_is(left, tmp_path, monkeypatch):
    mark, main = tmp_path / "mark", threading.main_thread().ident
    monkeypatch.setenv("MPCORE_TEST_HANGS", str(mark))

    def interrupt():
        soon(mark.exists, 60)
        time.sleep(1.0)
        signal.pthread_kill(main, signal.SIGINT)

    with launcher("hang", seconds=600.0) as ranks:
        requests = ranks.measuring([case("hang")])
        threading.Thread(target=interrupt, daemon=True).start()
        with pytest.raises(KeyboardInterrupt, match=r"rank 0 was in barrier .*rank 1 was in fault \(planted.py"):
            list(requests)
    assert mark.exists()
    assert not left()


def test_ranks_that_take_far_longer_than_is_known_are_ended(left):
    """Those of the launch that there is, and of the next."""
    launches = Launches(Path.cwd(), Selection(workloads=("hang",), load=(PLANTED,), device="cpu", size="tiny", gpus=(2,)))
    try:
        launches.prepare([case("hang")])
        launches.be_patient(3.0)
        for _ in range(2):
            (failure,) = launches.measure([case("hang")]).values()
            assert failure.hung
            assert "took more than 3 s for one response" in failure.sentence
    finally:
        launches.close()
    assert not left()


def test_a_launch_that_is_prepared_is_the_one_that_measures(left):
    launches = Launches(Path.cwd(), Selection(workloads=("good",), load=(PLANTED,), device="cpu", size="tiny", gpus=(2,)))
    try:
        launches.prepare([case("good")])
        begun = launches._launched[1]._process
        assert soon(lambda: len(begun._lines.processes) == 2, 60)
        assert [type(of) for of in launches.measure([case("good")]).values()] == [Timing]
        assert launches._launched[1]._process is begun
        launches.prepare([case("good")])  # and is never asked again
    finally:
        launches.close()
    assert not left()


def test_a_prepared_launch_that_is_never_asked_leaves_nothing(left):
    launches = Launches(Path.cwd(), Selection(workloads=("good",), load=(PLANTED,), device="cpu", size="tiny", gpus=(2,)))
    launches.prepare([case("good")])
    assert soon(lambda: len(launches._launched[1]._process._lines.processes) == 2, 60)
    launches.close()
    assert not left()


FAULTS = {
    "crash": r"the process of rank 1 was ended by SIGSEGV: it was in fault \(planted.py, line \d+: os.kill",
    "kill": r"the process of rank 1 was ended by SIGKILL$",
    "leave": r"the process of rank 1 ended with exit code 1: SystemExit: had enough \(planted.py, line \d+\)",
    "raise": r"rank 1: raise: loss\(\) failed: a b c \(planted.py, line \d+: raise ValueError",
    "memory": r"rank 1: no memory of 2 GiB",
    "stop": r"took more than 5 s for one response and were ended; rank 0 was in barrier .*rank 1 did not say where it was",
    "hang": r"took more than 5 s for one response and were ended; rank 0 was in barrier .*rank 1 was in fault \(planted.py",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_one_rank_is_that_of_its_case(left, fault, nth):
    with launcher(fault, seconds=5.0 if fault in ("hang", "stop") else 60.0) as ranks:
        (failure,) = measured(ranks, fault)
        assert isinstance(failure, Failure)
        assert re.search(FAULTS[fault], failure.sentence)
        assert failure.hung is (fault in ("hang", "stop"))
        assert not left()


def test_the_next_case_runs_in_a_new_launch(left, nth):
    with launcher("crash", "good") as ranks:
        crash, good = measured(ranks, "crash", "good")
    assert isinstance(crash, Failure)
    assert isinstance(good, Timing)
    assert not left()


def test_a_torchrun_that_is_killed_takes_its_ranks_along(left, nth):
    with launcher("hang") as ranks:
        requests = ranks.measuring([case("hang")])
        launch = ranks._process
        assert soon(lambda: len(launch._lines.processes) == 2, 60)
        os.kill(launch._agent.pid, signal.SIGKILL)
        ((_, failure),) = requests
        assert failure.sentence == "its torchrun was ended by SIGKILL"
        assert soon(lambda: not left())


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM], ids=lambda end: end.name)
def test_a_parent_that_ends_leaves_nothing(left, end, nth):
    command = [sys.executable, str(Path(__file__).with_name("started.py")), "good", "hang"]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert parent.stdout.readline() == "good timing\n"
    time.sleep(1)  # in which rank 0 has come to the barrier
    assert len(left()) == 4
    parent.send_signal(end)
    assert parent.wait(20) != 0
    assert soon(lambda: not left())


def test_one_rank_is_launched_as_several_are(left):
    with launcher("good", ranks=1) as ranks:
        ((_, good),) = ranks.measuring([case("good", gpus=1)])
        threads = Path(f"/proc/{ranks._process._lines.processes[0]}/environ").read_text()
    assert isinstance(good, Timing)
    assert f"OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', '1')}" in threads.split("\0")
    assert not left()


@pytest.mark.parametrize(("ranks", "visible", "seen"), [(1, None, "0"), (1, "3,1", "3"), (2, "3,1", "3,1"), (2, None, None)])
def test_one_rank_sees_one_gpu(left, monkeypatch, ranks, visible, seen):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with launcher("good", ranks=ranks) as launched:
        assert soon(lambda: len(launched._process._lines.processes) == ranks, 60)
        environment = Path(f"/proc/{launched._process._lines.processes[0]}/environ").read_text().split("\0")
    assert dict(entry.split("=", 1) for entry in environment if entry).get("CUDA_VISIBLE_DEVICES") == seen


def test_ranks_that_do_not_begin_say_why(left):
    with (
        launcher("good", data="nowhere") as ranks,
        pytest.raises(RunnerError, match="nowhere"),
    ):
        ranks.listing()
    assert not left()


def test_variables_against_multicast_reach_the_ranks(left, monkeypatch):
    names = {"NCCL_NVLS_ENABLE": "0", "TORCH_SYMM_MEM_DISABLE_MULTICAST": "1", "NVSHMEM_DISABLE_NVLS": "1"}
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    with launcher("good") as ranks:
        assert soon(lambda: len(ranks._process._lines.processes) == 2, 60)
        for process in ranks._process._lines.processes.values():
            environment = Path(f"/proc/{process}/environ").read_text().split("\0")
            assert {f"{name}={value}" for name, value in names.items()} <= set(environment)
