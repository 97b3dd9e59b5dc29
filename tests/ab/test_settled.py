"""Cases whose work, graph and code are the same are not timed, and the machine is tried with some of them."""

import itertools
import shutil
from pathlib import Path

import pytest
import stub
from scripted import BASE, HEAD, Script, compared, noisy, statuses
from test_ab_command import ROOT

from mpcore.ab import Checkout
from mpcore.ab.scheduler import Scheduler
from mpcore.ab.settled import count_work, settled
from mpcore.commands.ab import exit_code
from mpcore.records import Case, Failure, Loaded, LoadedFile, Selection, Work
from mpcore.records.protocol import KINDS
from mpcore.report.documents import pairs_document
from mpcore.report.render import render
from mpcore.runner import RunnerError

NAMES = [f"w{number}" for number in range(8)]


MODULE = LoadedFile(path="module.py", sha256="2")
OTHERS = {"files": (MODULE,)}
"""What head has loaded, and base has not."""


def counted(changed, seconds=0.001, loaded=OTHERS, earlier=None, **head):
    """Of eight cases of which `changed` have other counts in head, or whatever `head` has of a work."""

    def count(sides, selection, cases, device, progress, ready):
        base = {case: stub.work(case.workload, code="1") for case in cases}
        other = {case: stub.work(case.workload, **({"code": "1"} | head)) for case in cases if case.workload in changed}
        return base, base | other

    script = Script(*(dict.fromkeys(NAMES, 0.001) for _ in range(2)))
    script.listings = dict.fromkeys(("base", "head"), stub.listing(*NAMES, kinds=KINDS))
    script.loaded = {"base": Loaded(files=()), "head": Loaded(**{"files": ()} | loaded)}
    script.answers["head"] |= seconds if isinstance(seconds, dict) else dict.fromkeys(NAMES, seconds)
    options = {"count": count, "earlier": earlier, "measure": lambda *asked: {}}
    comparison, script.said = compared(script, time_all=False, **options)
    return comparison, script


def test_what_is_the_same_is_not_timed_and_six_cases_try_the_machine():
    comparison, script = counted({"w3"}, casts=2)
    assert statuses(comparison)["w3"][0] == "same"
    assert {case.case.workload: len(case.pairs) for case in comparison.cases} == {
        **dict.fromkeys(("w0", "w1", "w2", "w4", "w5", "w6"), 2),
        "w7": 0,
        "w3": 6,
    }
    assert len(script.pairs[0][0]) == 7
    assert len(script.pairs[2][0]) == 1
    assert "not timed: 7 cases, the same in work, graph and code; 6 of them" in render(pairs_document(comparison), "markdown")
    assert exit_code(comparison) == 0


@pytest.mark.parametrize("head", [{"code": "2"}, {"code": None}, {"graph_signature": "other"}, {"casts": 2}])
def test_code_graph_and_work_must_all_be_the_same(head):
    comparison, _ = counted(set(NAMES), **head)
    assert all(len(case.pairs) == 6 for case in comparison.cases)


def tiles(*names):
    return {"files": tuple(LoadedFile(path=name, sha256="2") for name in names)}


@pytest.mark.parametrize(
    ("loaded", "why"),
    [
        ({"wheels": {"torchao": "0.15"}}, "what is installed differs"),
        (tiles("tiles.json"), "tiles.json differs, which a step may read"),
        (tiles("b.json", "a.toml", "c.cu"), "a.toml and 2 more differ, which a step may read"),
    ],
)
def test_what_no_hash_of_a_case_covers_must_be_the_same(loaded, why):
    comparison, script = counted((), loaded=loaded)
    assert all(len(case.pairs) == 6 for case in comparison.cases)
    assert f"{why}: all cases are timed" in script.said


def test_two_pairs_are_all_where_everything_is_the_same():
    comparison, script = counted(())
    assert len(script.pairs) == 2
    assert comparison.statuses == {"same"}


def test_a_machine_that_times_the_same_otherwise_is_blind():
    """Also in as many fresh pairs, which are the last."""
    comparison, script = counted((), seconds=0.0011)
    assert exit_code(comparison) == 4
    assert len(script.pairs) == 4
    assert {len(case.pairs) for case in comparison.cases} == {0, 4}


def odd(*numbers):
    """A head whose processes of these numbers are slower."""
    return lambda number: 0.0012 if number in numbers else 0.001


@pytest.mark.parametrize(("seconds", "code"), [(odd(1), 0), (odd(0, 1), 4)])
def test_a_case_of_an_odd_pair_is_tried_again_and_its_median_counts(seconds, code):
    comparison, script = counted((), seconds={"w1": seconds})
    assert exit_code(comparison) == code
    assert [names for names, _ in script.pairs[2:]] == [["w1"]] * 2
    assert len(comparison.cases[1].pairs) == 4
    assert "too much cannot be excluded, and fresh pairs are measured: w1-fp32-graph-full" in script.said
    assert "in 4 pairs, which try the machine, head took" in comparison.cases[1].regressions[0].sentence


def test_fresh_pairs_that_try_the_machine_follow_those_that_decide_what_is_timed():
    _, script = counted({"w3"}, seconds={"w1": odd(1)}, casts=2)
    assert [names for names, _ in script.pairs[2:]] == [["w3"]] * 4 + [["w1"]] * 2


@pytest.mark.parametrize("at", range(4))
def test_a_machine_that_was_being_tried_is_tried_on_where_it_goes_on(at):
    """Interrupted in any of its pairs."""
    slow, loaded = odd(1), {"files": (LoadedFile(path="/module.py", place="/module.py", sha256="2"),)}

    def stopping(number):
        if number == at:
            raise KeyboardInterrupt
        return slow(number)

    begun, _ = counted((), {"w1": stopping}, loaded)
    assert begun.interrupted == 130
    assert len(begun.cases[1].pairs) == at
    assert begun.cases[1].open
    found, script = counted((), {"w1": lambda number: slow(number + at)}, loaded, earlier=begun)
    assert exit_code(found) == 0
    assert found.cases[1].pairs[:at] == begun.cases[1].pairs
    assert len(found.cases[1].pairs) == 4
    assert len(script.pairs) == 4 - at
    assert not any(case.open for case in found.cases)


def test_nothing_is_counted_for_a_base_that_does_not_say_what_it_has_loaded():
    script = Script({"a": noisy(0.001, 0)}, {"a": noisy(0.001, 1)})
    assert len(compared(script, time_all=False, measure=lambda *asked: {})[0].cases[0].pairs) == 6


class Sharing:
    """A process of a side. A GPU has room for "large" in one of them that run, and for "huge" in none. "hung" hangs."""

    def __init__(self, running, asked):
        self.running, self.asked = running, asked

    def measuring(self, cases, *, kind):
        if self not in self.running:
            self.running.append(self)
        self.asked.append([case.workload for case in cases])
        return ((case, self.answer(case)) for case in cases)

    def answer(self, case):
        if case.workload == "hung":
            return Failure(case=case, sentence="it took too long", hung=True)
        if case.workload == "huge" or (case.workload == "large" and len(self.running) > 1):
            return Failure(case=case, sentence="no memory")
        first = case.workload == "chosen" and len(self.running) > 1 and self is self.running[0]
        graph = None if case.workload == "unsigned" else "with little memory" if first else "usual"
        return stub.work(case.workload, code="1", device="cuda", graph_signature=graph)

    def be_patient(self, seconds):
        pass

    def loaded(self):
        return None

    def close(self):
        if self in self.running:
            self.running.remove(self)


@pytest.mark.parametrize(("device", "asked_again"), [("cuda", [["large", "huge", "chosen"]] * 2), ("cpu", [])])
def test_what_lacks_memory_beside_the_other_side_is_counted_without_it(monkeypatch, device, asked_again):
    running, asked = [], []
    monkeypatch.setattr("mpcore.ab.settled.start", lambda *_: Sharing(running, asked))
    large, huge, _, chosen, _ = cases = [stub.case(name) for name in ("large", "huge", "hung", "chosen", "unsigned")]
    sides = tuple(Checkout(side, Path()) for side in ("base", "head"))

    def ready():
        assert running == []  # a fresh pair has the GPU for itself
        return Sharing(running, asked), Sharing(running, asked)

    base, head = count_work(sides, Selection(), cases, device, print, ready)
    assert asked == [["large", "huge", "hung", "chosen", "unsigned"]] * 2 + asked_again
    for found in (base, head):
        assert isinstance(found[large], Work) == (device == "cuda")
        assert isinstance(found[huge], Failure)
    assert (base[chosen].graph_signature == head[chosen].graph_signature) == (device == "cuda")
    assert running == []


def test_those_that_have_listed_are_ended_where_the_next_cannot_start():
    script = Script({"a": 0.001}, {"a": 0.001})

    def start(checkout, selection):
        if len(script.selections) == 2:
            raise RunnerError("no process more")
        return script.start(checkout, selection)

    with Scheduler(BASE, HEAD, Selection(), seed=0, start=start) as scheduler:
        scheduler.listings()
        scheduler._ahead = 2
        with pytest.raises(RunnerError):
            scheduler.ready()
    assert set(script.open.values()) == {0}


def test_what_is_counted_again_is_counted_in_fresh_processes_that_got_ready_meanwhile():
    script = Script({"a": 0.001}, {"a": 0.001})
    with Scheduler(BASE, HEAD, Selection(), seed=0, start=script.start) as scheduler:
        scheduler.listings()
        scheduler._ahead = 2
        listed = scheduler.ready()
        assert len(script.selections) == 4
        fresh = scheduler.ready()
        assert len(script.selections) == 6
        assert not {*map(id, listed)} & {*map(id, fresh)}
        assert [process.name for process in fresh] == ["base", "head"]
        of_pairs = [number for number, _ in scheduler._waiting] + list(itertools.islice(scheduler._order, 4))
        assert {tuple(sorted(of_pairs[i : i + 2])) for i in (0, 2, 4)} == {(0, 1)}
        assert of_pairs[::2].count(0) in (1, 2)
        for process in (*listed, *fresh):
            process.close()
    assert set(script.open.values()) == {0}


def test_one_workload_that_is_changed_is_the_only_one_that_is_timed(tmp_path):
    """In processes as they are."""
    for side in ("base", "head"):
        shutil.copytree(ROOT / "mpcore", tmp_path / side / "mpcore", ignore=shutil.ignore_patterns("__pycache__"))
    changed = tmp_path / "head" / "mpcore" / "workloads" / "unet.py"
    changed.write_text(changed.read_text() + "\nUNUSED = 1\n")
    selection = Selection(workloads=("resnet18-mnist", "unet-membrane"), precisions=("fp32",), device="cpu", size="tiny")
    sides = tuple(Checkout(side, tmp_path / side) for side in ("base", "head"))
    cases = [Case(workload=name, precision="fp32", execution="eager", size="tiny") for name in selection.workloads]
    listings = (stub.listing(kinds=KINDS),) * 2
    assert [case.workload for case in settled(sides, listings, selection, cases, print, None)] == ["resnet18-mnist"]


def test_a_case_on_several_gpus_needs_no_timing_either():
    case = stub.case("a").model_copy(update={"strategy": "ddp", "gpus": 2})
    sides, listings = (Checkout("base", Path("base")), Checkout("head", Path("head"))), (stub.listing(kinds=KINDS),) * 2

    for head, needless in (("1", [case]), ("1 2", [])):  # one rank has loaded something else
        works = {case: stub.work("a", code="1")}, {case: stub.work("a", code=head)}
        assert settled(sides, listings, Selection(), [case], print, None, lambda *_, works=works: works) == needless
