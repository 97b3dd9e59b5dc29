"""Base against head where a step is spread over ranks: each side of a pair is a fresh launch in its own tree."""

from contextlib import closing
from pathlib import Path

import pytest
import torch

from mpcore.ab import Checkout
from mpcore.ab.processes import start
from mpcore.ab.scheduler import Scheduler
from mpcore.parallel.launches import Launches
from mpcore.records import Case, Failure, Selection, Timing
from mpcore.selection import SelectionError

PARALLEL = Path(__file__).parent.parent / "parallel"
SECONDS = 0.1
"""That a step of head waits."""
MINE = f"""
import os, signal, sys, time

sys.path.append({str(PARALLEL)!r})

from planted import Planted
from scripts import PlainDDP

from mpcore import register
from mpcore.strategies import DataParallel, strategies

SECONDS = 0.0


@strategies.register
class Ours(DataParallel):
    name = "ours"

    def reduce(self):
        super().reduce()
        time.sleep(SECONDS)


@register
class Rows(Planted):
    name = "rows"


@register
class Script(PlainDDP):
    name = "script"

    def build(self, precision, device):
        step = super().build(precision, device)
        return lambda batch: (time.sleep(SECONDS), step(batch))[1]


@register
class Breaks(Planted):
    name = "breaks"
    together = True

    def fault(self):
        if SECONDS:
            os.kill(os.getpid(), signal.SIGKILL)
"""
SELECTION = Selection(
    workloads=("rows", "script", "breaks"),
    precisions=("fp32",),
    executions=("eager",),  # a graph would not wait
    strategies=("ours",),
    gpus=(2,),
    size="tiny",
    device="cpu",
    load=("mine.py",),
)


@pytest.fixture
def sides(tmp_path):
    """Head is slower by its strategy and by its script, and one of its ranks does not live."""
    for side, seconds in (("base", 0.0), ("head", SECONDS)):
        (tmp_path / side).mkdir()
        (tmp_path / side / "mine.py").write_text(MINE.replace("SECONDS = 0.0", f"SECONDS = {seconds}"))
    return tuple(Checkout(side, tmp_path / side) for side in ("base", "head"))


def case(name, strategy="ours"):
    return Case(workload=name, precision="fp32", strategy=strategy, gpus=2, size="tiny")


ON_GPUS = pytest.param(
    "cuda",
    marks=[pytest.mark.cuda, pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two NVIDIA GPUs")],
)


@pytest.mark.parametrize("device", ["cpu", ON_GPUS])
def test_each_side_of_a_pair_is_measured_on_ranks_in_its_own_tree(sides, device):
    selection = SELECTION.model_copy(update={"device": device})
    rows, script, breaks = case("rows"), case("script", "own"), case("breaks")
    with closing(start(sides[1], selection)) as process:
        assert process.listing().cases == ((rows, None), (script, None), (breaks, None))
    with Scheduler(*sides, selection, seed=0, start=start) as scheduler:
        pair = scheduler.pair([rows, script, breaks])
    for slower in (rows, script):
        assert isinstance(pair.base[slower], Timing), pair.base[slower]
        assert pair.head[slower].blocks.step_seconds >= SECONDS
        assert pair.head[slower].blocks.step_seconds > pair.base[slower].blocks.step_seconds
    assert isinstance(pair.base[breaks], Timing)
    assert isinstance(pair.head[breaks], Failure)
    assert pair.head[breaks].sentence == "the process of rank 1 was ended by SIGKILL"


def test_one_gpu_and_two_are_launches_of_their_own(monkeypatch, tmp_path):
    begun = []

    class Launched:
        def __init__(self, tree, selection, gpus, **options):
            begun.append(gpus)

        def measure(self, cases, **asked):
            return dict.fromkeys(cases, asked["kind"])

        def close(self):
            begun.append("closed")

    monkeypatch.setattr("mpcore.parallel.launches.Launcher", Launched)
    one, two = case("rows", "single").model_copy(update={"gpus": 1}), case("rows")
    launches = Launches(tmp_path, SELECTION)
    assert launches.measure([two, one, two], kind="work") == {one: "work", two: "work"}
    launches.measure([two], kind="speed")
    launches.close()
    assert begun == [1, "closed", 2, "closed"]


def test_ranks_are_no_processes_of_a_container(sides):
    with pytest.raises(SelectionError, match="'docker run IMAGE' cannot start ranks"):
        start(Checkout("head", sides[1].tree, command=("docker", "run", "IMAGE")), SELECTION)
