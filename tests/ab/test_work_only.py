"""Base against head by what a step does."""

import os
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
import stub
from repositories import git, left_behind
from scripted import BASE, HEAD, statuses
from test_ab_command import ab, started

from mpcore.ab import all_work, compare_work
from mpcore.commands.ab import exit_code
from mpcore.records import Comparison, Failure, Loaded, Selection
from mpcore.runner import RunnerError
from mpcore.selection import SelectionError

ROOT = Path(__file__).parent.parent.parent


class Counters:
    """Processes that answer from a script. log: which side began, and which was waited for, in turn."""

    def __init__(self, base, head, device="cpu"):
        self.answers = {"base": base, "head": head}
        self.listings = {side: stub.listing(*answers) for side, answers in self.answers.items()}
        machine = self.listings["head"].machine
        hardware = machine.hardware.model_copy(update={"device": device})
        self.change("head", machine=machine.model_copy(update={"hardware": hardware}))
        self.open = set()
        self.log = []
        self.loads = lambda name: None
        self.now, self.takes = 0.0, 1.0

    def change(self, side, **fields):
        self.listings[side] = self.listings[side].model_copy(update=fields)

    def start(self, checkout, _):
        self.open.add(checkout.tree.name)
        return Counter(self, checkout.tree.name)


class Counter:
    def __init__(self, script, name):
        self.script, self.name = script, name

    def listing(self):
        return self.script.listings[self.name]

    def loaded(self):
        return self.script.loads(self.name)

    def measuring(self, cases, *, kind):
        assert kind == "work"
        self.script.log.append(f"{self.name} begins")
        return self._answers(cases)

    def _answers(self, cases):
        self.script.log.append(f"{self.name} is waited for")
        for case in cases:
            answer = self.script.answers[self.name][case.workload]
            self.script.now += self.script.takes
            yield case, Failure(case=case, sentence=answer) if isinstance(answer, str) else answer

    def be_patient(self, seconds):
        self.script.log.append(f"{self.name} has {seconds:g} s a case")

    def close(self):
        self.script.open.discard(self.name)
        self.script.log.append(f"{self.name} is closed")


def written(file):
    """What is in it, as soon as it is there."""
    end = time.monotonic() + 60
    while not (file.is_file() and (text := file.read_text())):
        assert time.monotonic() < end
        time.sleep(0.01)
    return text


def compared(script):
    found = compare_work(BASE, HEAD, Selection(), start=script.start)
    assert script.open == set()
    return found


def worked(base=1, head=1, **changed):
    """Of one case `a`, which has so many casts."""
    return compared(Counters({"a": stub.work("a", base)}, {"a": stub.work("a", head, **changed)}))


def regression(comparison, metric):
    (case,) = comparison.cases
    return next(r for r in case.regressions if r.metric == metric)


def test_what_does_the_same_is_the_same():
    comparison = worked()
    assert comparison.statuses == {"same"}
    assert (comparison.by, comparison.cases[0].pairs, comparison.seed) == ("work", (), None)
    assert exit_code(comparison) == 0


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_what_was_counted_stays_where_a_process_ends_before_it_says_its_code(device):
    script = Counters({"a": stub.work("a", 1)}, {"a": stub.work("a", 2)}, device)

    def ended(_):
        if script.log:
            raise RunnerError("it has ended")

    script.loads = ended
    assert "worse" in compared(script).statuses


@pytest.mark.parametrize("changed", [{"python": "/other/python"}, {"command": ("docker", "run", "IMAGE")}])
def test_one_tree_in_two_pythons_alike_is_refused_and_under_two_commands_counted(changed):
    script = Counters({"a": stub.work("a")}, {"a": stub.work("a")})
    script.loads = lambda name: Loaded(files=())
    sides = HEAD, replace(HEAD, **changed)
    if "command" in changed:
        assert compare_work(*sides, Selection(), start=script.start).statuses == {"same"}
        return
    with pytest.raises(SelectionError, match=r"have both loaded the same packages: expected two trees"):
        compare_work(*sides, Selection(), start=script.start)


def test_a_cast_more_is_worse_and_named_with_its_module():
    comparison = worked(head=2)
    casts = regression(comparison, "casts")
    assert casts.status == "worse"
    assert "in layer, forward" in casts.sentence
    assert "in base" in casts.sentence
    assert exit_code(comparison) == 1


def test_what_is_changed_in_no_known_direction_does_not_block():
    operations = {"relu | float32 | 8 | layer | forward": 1}
    comparison = worked(operations=operations)
    assert regression(comparison, "operations").status == "changed"
    assert exit_code(comparison) == 0


def test_other_software_is_not_judged_and_nothing_else_is_left_to_compare():
    comparison = worked(head=2, software={"torch": "2.12.0"})
    assert statuses(comparison) == {"a": ["incomparable"]}
    assert "torch" in comparison.cases[0].regressions[0].sentence
    assert exit_code(comparison) == 2


def test_what_cannot_be_counted_has_failed():
    comparison = compared(Counters({"a": "no memory", "b": stub.work("b")}, {"a": "no such layer", "b": stub.work("b")}))
    assert comparison.failures == {"a-fp32-graph-full": "base: no memory; head: no such layer"}
    assert exit_code(comparison) == 2


def test_a_failure_of_one_side_names_it():
    comparison = compared(Counters({"a": stub.work("a")}, {"a": "no such layer"}))
    assert comparison.failures == {"a-fp32-graph-full": "head: no such layer"}


def test_what_neither_can_run_is_no_failure():
    skipped = Failure(case=stub.case("a"), sentence="no layer to convert", skipped=True)
    comparison = compared(Counters({"a": skipped, "b": stub.work("b")}, {"a": skipped, "b": stub.work("b")}))
    assert comparison.skipped == {"a-fp32-graph-full": "no layer to convert"}
    assert exit_code(comparison) == 0


def test_a_case_that_head_can_no_longer_run_has_failed():
    skipped = Failure(case=stub.case("a"), sentence="no layer to convert", skipped=True)
    comparison = compared(Counters({"a": stub.work("a")}, {"a": skipped}))
    assert comparison.failures == {"a-fp32-graph-full": "head: no layer to convert"}


def test_a_case_that_one_of_them_lacks_is_said():
    comparison = compared(Counters({n: stub.work(n) for n in ("a", "gone")}, {n: stub.work(n) for n in ("a", "new")}))
    assert statuses(comparison)["new"] == ["new"]
    assert comparison.failures["gone-fp32-graph-full"].startswith("base has it and head does not")


def test_both_count_at_once_on_a_cpu():
    script = Counters({"a": stub.work("a")}, {"a": stub.work("a")})
    compared(script)
    assert script.log[:4] == ["base begins", "head begins", "base is waited for", "head has 120 s a case"]


@pytest.mark.parametrize(("takes", "patience"), [(10.0, 120), (50.0, 250), (300.0, 900)])
def test_head_counts_as_hung_once_it_takes_far_longer_than_base(monkeypatch, takes, patience):
    """And no later than it would without a base."""
    script = Counters({n: stub.work(n) for n in "ab"}, {n: stub.work(n) for n in "ab"})
    script.takes = takes
    monkeypatch.setattr("mpcore.ab.work.time.monotonic", lambda: script.now)
    compared(script)
    assert f"head has {patience} s a case" in script.log


def test_a_base_that_fails_says_nothing_of_how_long_head_may_take():
    script = Counters({"a": Failure(case=stub.case("a"), sentence="no memory")}, {"a": stub.work("a")})
    compared(script)
    assert not [line for line in script.log if line.endswith("s a case")]


def test_each_has_a_gpu_to_itself():
    script = Counters({"a": stub.work("a")}, {"a": stub.work("a")}, device="cuda")
    compared(script)
    assert script.log[:7] == [
        "head is closed",
        "base begins",
        "base is waited for",
        "base is closed",
        "head has 120 s a case",
        "head begins",
        "head is waited for",
    ]


def test_a_revision_that_is_older_says_so():
    script = Counters({}, {"a": stub.work("a")})
    script.change("base", kinds=("timing", "speed"), unknown=(("precisions all", "unknown precision 'all'"),))
    with pytest.raises(RunnerError, match=r"^base \(main\) cannot count work: it is older than --work-only"):
        compared(script)
    assert script.open == set()


def test_every_mode_is_counted_where_nothing_is_named():
    """The workloads are those that are timed: of a file of one's own, that it registers."""
    assert all_work(Selection()) == Selection(precisions=("all",), size="tiny", device="cpu")
    chosen = Selection(workloads=("a",), precisions=("fp32",), size="full", device="cuda", batch_sizes=(8,))
    assert all_work(chosen) == chosen


class TestTheCommand:
    def counting(self, repository, **casts):
        works = {name: stub.work(name, count).model_dump(mode="json") for name, count in casts.items()}
        return stub.tree(repository, dict.fromkeys(casts, 0.001), answers=works)

    @pytest.fixture
    def base(self, repository, tmp_path):
        self.counting(repository, a=1, b=1)
        return str(self.counting(tmp_path / "base", a=1, b=1))

    def test_a_cast_more(self, repository, base):
        self.counting(repository, a=1, b=2)
        done = ab(base, "--work-only", "--json", "out.json", "--markdown", "out.md")
        assert done.returncode == 1, done.stderr
        comparison = Comparison.model_validate_json((repository / "out.json").read_text())
        assert statuses(comparison)["b"].count("worse") == 2
        assert "1 of 2 cases do exactly the same" in done.stdout
        assert (
            done.stdout.rstrip()
            .splitlines()[-1]
            .lstrip()
            .startswith(f"python -m mpcore ab {base} --work-only --mp-workload b ")
        )
        assert "1 of 2 cases do exactly the same" in (repository / "out.md").read_text()
        assert "| b-fp32-graph-full" in (repository / "out.md").read_text()
        assert "mpcore: 2 cases are counted in base and head" in done.stderr

    def test_nothing_else(self, repository, base):
        done = ab(base, "--work-only")
        assert done.returncode == 0, done.stderr
        assert "2 of 2 cases do exactly the same" in done.stdout

    def test_a_crash_loses_that_case(self, repository, base):
        plan = {name: stub.work(name).model_dump(mode="json") for name in "ab"}
        stub.tree(repository, {"a": 0.001, "b": 0.001}, answers=plan, does={"a": "os.abort()"})
        done = ab(base, "--work-only")
        assert done.returncode == 2
        assert "failed: a-fp32-graph-full: head: its process was ended by SIGABRT" in done.stdout
        assert "1 of 1 cases do exactly the same" in done.stdout

    def test_a_base_that_is_older(self, repository, base):
        listing = stub.listing("a").model_dump(mode="json", exclude={"kinds"})
        stub.tree(repository.parent / "base", {"a": 0.001}, listing=listing)
        done = ab(base, "--work-only")
        assert done.returncode == 2
        sentence = "cannot count work: it is older than --work-only, and can only be timed"
        assert done.stderr.splitlines()[-1] == f"mpcore: base ({base}) {sentence}"

    def test_nothing_is_left_where_it_is_interrupted(self, repository, base):
        """While both count."""
        works = {"a": stub.work("a").model_dump(mode="json")}
        trees = repository, repository.parent / "base"
        for tree in trees:
            does = {"a": "open('running', 'w').write(str(os.getpid())); time.sleep(1000)"}
            stub.tree(tree, {"a": 0.001}, answers=works, does=does)
        process = started(base, "--work-only")
        running = [int(written(tree / "running")) for tree in trees]
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 130
        assert "Traceback" not in errors
        assert not any(Path(f"/proc/{number}").exists() for number in running)

    def test_a_revision(self, repository, base):
        git(repository, "commit", "-q", "-a", "-m", "counts")
        self.counting(repository, a=2, b=1)
        done = ab("main", "--work-only")
        assert done.returncode == 1, done.stderr
        assert "1 of 2 cases do exactly the same" in done.stdout
        assert left_behind(repository) == []


def test_a_cast_that_is_planted_is_found_by_its_module(tmp_path):
    """In processes as they are."""
    for side in ("base", "head"):
        shutil.copytree(ROOT / "mpcore", tmp_path / side / "mpcore", ignore=shutil.ignore_patterns("__pycache__"))
    planted = tmp_path / "head" / "mpcore" / "workloads" / "unet.py"
    text = planted.read_text()
    assert text.count("self.up(deep)") == 1
    planted.write_text(text.replace("self.up(deep)", "self.up(deep).float().to(skipped.dtype)"))
    sides = (str(tmp_path / "base"), str(tmp_path / "head"))
    chosen = ("--mp-workload", "unet-membrane", "--mp-precision", "fp32,bf16-true")
    done = ab(*sides, "--work-only", *chosen, "--json", str(tmp_path / "out.json"))
    assert done.returncode == 1, done.stdout + done.stderr
    comparison = Comparison.model_validate_json((tmp_path / "out.json").read_text())
    unchanged, changed = comparison.cases
    assert {r.status for r in unchanged.regressions} == {"same"}
    casts = next(r for r in changed.regressions if r.metric == "casts")
    assert (casts.status, casts.value - casts.limit) == ("worse", 16)
    assert "_to_copy" in casts.sentence
    assert "in up_1, " in casts.sentence
