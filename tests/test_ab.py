"""Base against head: what a series of pairs says, what happens to trees and processes, and how it all ends."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import stub

from mpcore.ab import Side, SideError, compare, sides
from mpcore.ab.command import _signals, exit_code
from mpcore.ab.show import markdown, terminal
from mpcore.kernels import profile_of
from mpcore.records import Comparison, Failure, Selection
from mpcore.report.lines import WIDTH
from mpcore.selection import SelectionError

ROOT = Path(__file__).parent.parent
BASE, HEAD = Side("main", Path("base")), Side("the working tree", Path("head"))
NOISE = 5e-4
"""Standard deviation between processes, as an H200 has it."""


class Script:
    """Processes that answer from a script: by side and workload, the seconds of a step in process after process, or another
    answer."""

    def __init__(self, base, head):
        self.answers = {"base": base, "head": head}
        self.listings = {"base": stub.listing(*base), "head": stub.listing(*head)}
        self.log = []
        self.open = Counter()
        self._processes = Counter()

    def start(self, side, _):
        name = side.tree.name
        self.open[name] += 1
        return Scripted(self, name, side)

    def next(self, name):
        self._processes[name] += 1
        return self._processes[name] - 1

    @property
    def pairs(self):
        """By pair, the workloads and the side that was first."""
        return [(self.log[i][1], self.log[i][0]) for i in range(0, len(self.log), 2)]


class Scripted:
    def __init__(self, script, name, side):
        self.script, self.name, self.side = script, name, side

    def listing(self):
        return self.script.listings[self.name]

    def measure(self, cases, *, profile=False, handicap=1.0):
        number = self.script.next(self.name)
        self.script.log.append((self.name, [case.workload for case in cases]))
        return {case: self._answer(case, number, profile, handicap) for case in cases}

    def _answer(self, case, number, profile, handicap):
        answers = self.script.answers[self.name][case.workload]
        answer = answers(number) if callable(answers) else answers
        if isinstance(answer, str):
            return Failure(case=case, sentence=answer)
        if isinstance(answer, float):
            kernels = profile_of({"gemm": (1, answer)}) if profile else None
            return stub.timing(case.workload, answer * handicap, profile=kernels)
        return answer

    def close(self):
        self.script.open[self.name] -= 1


def noisy(seconds, seed, spread=NOISE, then=None, after=None):
    """`seconds` with the noise of a process each time; `then` from the process `after` on."""
    random_ = random.Random(seed)

    def answer(number):
        return random_.gauss(1, spread) * (then if after is not None and number >= after else seconds)

    return answer


def run(script, pairs=(6, 12), **sides):
    lines = []
    found = compare(
        sides.get("base", BASE), sides.get("head", HEAD), Selection(), pairs=pairs, progress=lines.append, start=script.start
    )
    assert set(script.open.values()) == {0}
    return found, lines


def statuses(comparison):
    return {compared.case.workload: [v.status for v in compared.verdicts] for compared in comparison.cases}


def only(comparison):
    (compared,) = comparison.cases
    return compared


def test_each_verdict_and_a_case_drops_out_once_it_is_decided():
    base = {name: noisy(0.001, seed) for seed, name in enumerate(("same", "better", "worse", "open"))}
    head = {
        "same": noisy(0.001, 10),
        "better": noisy(0.00097, 11),
        "worse": noisy(0.00103, 12),
        "open": noisy(0.001005, 13, spread=0.002),
    }
    script = Script(base, head)
    comparison, _ = run(script)
    assert statuses(comparison) == {
        "same": ["same"] * 2,
        "better": ["better", "same"],
        "worse": ["worse", "same"],
        "open": ["undecided", "same"],
    }
    everything = ["same", "better", "worse", "open"]
    assert [names for names, _ in script.pairs] == [everything] * 6 + [["open"]] * 6 + [["worse"]] * 6
    assert [(len(c.pairs), len(c.confirmation)) for c in comparison.cases] == [(6, 0), (6, 0), (6, 6), (12, 0)]
    assert exit_code(comparison) == 1


def test_what_is_worse_says_by_how_much_and_which_kernels_explain_it():
    comparison, _ = run(Script({"a": noisy(0.001, 0)}, {"a": noisy(0.00103, 1)}))
    verdict = only(comparison).verdicts[0]
    assert verdict.ratio == pytest.approx(1.03, abs=1e-3)
    assert verdict.interval[0] < verdict.ratio < verdict.interval[1]
    assert verdict.compared
    assert verdict.sentence.startswith("a-fp32-graph-full: a step takes 1.03 ms in head and 0.9998 ms in base, +3.0")
    assert "6 fresh pairs confirm it" in verdict.sentence
    assert "matrix product" in verdict.sentence
    assert "more than 0.5 % is worse" in verdict.sentence


def test_what_fresh_pairs_do_not_confirm_is_undecided():
    """As when another process was on the machine while the first were measured."""
    comparison, _ = run(Script({"a": noisy(0.001, 0)}, {"a": noisy(0.00103, 1, then=0.001, after=6)}))
    (verdict, _) = only(comparison).verdicts
    assert verdict.status == "undecided"
    assert "fresh pairs do not confirm it" in verdict.sentence
    assert exit_code(comparison) == 3


def test_the_order_within_pairs_is_balanced_and_that_of_the_seed():
    script = Script({"a": noisy(0.001, 0, 0.01)}, {"a": noisy(0.001, 1, 0.01)})
    comparison, _ = run(script)
    firsts = [first for _, first in script.pairs]
    assert [pair.head_first for pair in only(comparison).pairs] == [first == "head" for first in firsts]
    assert Counter(firsts[:6]) == Counter(firsts[6:12]) == {"base": 3, "head": 3}
    again = Script({"a": noisy(0.001, 5, 0.01)}, {"a": noisy(0.001, 6, 0.01)})
    run(again)
    assert [first for _, first in again.pairs] == firsts


def test_a_handicap_is_that_of_its_side():
    head = Side("head", Path("head"), handicap=2.0)
    comparison, _ = run(Script({"a": noisy(0.001, 0)}, {"a": noisy(0.001, 1)}), head=head)
    assert only(comparison).verdicts[0].ratio == pytest.approx(2.0, abs=0.01)
    assert comparison.head.handicap == 2.0


def test_what_python_launches_has_a_wider_margin():
    def eager(seconds):
        return stub.timing("a", seconds, pool_bytes=None)

    comparison, _ = run(Script({"a": eager(0.001)}, {"a": eager(0.001007)}))
    (verdict,) = only(comparison).verdicts
    assert (verdict.status, verdict.limit) == ("same", 1.0)


def test_memory_that_the_graph_holds_is_compared_as_it_is():
    comparison, _ = run(Script({"a": stub.timing("a")}, {"a": stub.timing("a", pool_bytes=2**20 * 3 // 2)}))
    time_, memory = only(comparison).verdicts
    assert (time_.status, memory.status) == ("same", "worse")
    assert "its graph holds 1.5 MiB in head and 1.0 MiB in base, +50.0 %" in memory.sentence
    assert exit_code(comparison) == 1


def test_a_pair_that_a_crash_has_lost_is_said_and_the_rest_goes_on():
    answer = noisy(0.001, 0)
    crashing = lambda number: "its process was ended by SIGSEGV" if number == 1 else answer(number)  # noqa: E731
    comparison, _ = run(Script({"a": noisy(0.001, 1), "b": noisy(0.001, 2)}, {"a": crashing, "b": noisy(0.001, 3)}))
    a, b = comparison.cases
    assert (len(a.pairs), len(b.pairs)) == (5, 6)
    assert a.lost == ("head: its process was ended by SIGSEGV",)
    assert exit_code(comparison) == 0
    assert "a pair is not whole" in terminal(comparison)


def test_a_case_with_hardly_a_whole_pair_has_failed():
    script = Script({"a": "the step cannot be captured", "b": 0.001}, {"a": 0.001, "b": 0.001})
    comparison, _ = run(script)
    assert comparison.failures == {
        "a-fp32-graph-full": "4 of 4 pairs are lost, the last one so: base: the step cannot be captured"
    }
    assert [names for names, _ in script.pairs] == [["a", "b"]] * 4 + [["b"]] * 2
    assert exit_code(comparison) == 2


def test_what_is_worse_counts_before_what_failed():
    comparison, _ = run(Script({"a": "no", "b": 0.001}, {"a": "no", "b": 0.002}))
    assert comparison.failures
    assert exit_code(comparison) == 1


def test_what_neither_can_run_is_no_failure():
    skipped = Failure(case=stub.case("a"), sentence="no layer to convert", skipped=True)
    comparison, _ = run(Script({"a": skipped, "b": 0.001}, {"a": skipped, "b": 0.001}))
    assert comparison.skipped == {"a-fp32-graph-full": "no layer to convert"}
    assert exit_code(comparison) == 0


@pytest.mark.parametrize("changed", [{"workload_version": 2}, {"batch_size": 64}])
def test_two_things_are_not_compared(changed):
    comparison, _ = run(Script({"a": stub.timing("a")}, {"a": stub.timing("a", **changed)}))
    (sentence,) = comparison.failures.values()
    assert sentence.startswith("base and head are not comparable: ")
    assert exit_code(comparison) == 2


def test_a_case_that_one_of_them_lacks_is_said():
    script = Script({"a": 0.001, "gone": 0.001}, {"a": 0.001, "new": 0.001})
    comparison, _ = run(script)
    assert statuses(comparison) == {"a": ["same", "same"], "new": ["new"]}
    assert comparison.failures == {"gone-fp32-graph-full": "base has it and head does not"}
    assert exit_code(comparison) == 2


def test_a_case_that_is_new_is_no_failure_unless_there_is_no_other():
    assert exit_code(run(Script({"a": 0.001}, {"a": 0.001, "new": 0.001}))[0]) == 0
    assert exit_code(run(Script({}, {"new": 0.001}))[0]) == 2


def test_a_case_that_only_base_can_run_has_failed():
    script = Script({"a": 0.001}, {"a": 0.001})
    cases = tuple((case, "it needs an NVIDIA GPU") for case, _ in script.listings["head"].cases)
    script.listings["head"] = script.listings["head"].model_copy(update={"cases": cases})
    comparison, _ = run(script)
    assert comparison.failures == {"a-fp32-graph-full": "base runs it and head does not: it needs an NVIDIA GPU"}


def test_what_neither_has_is_a_mistake_in_the_selection():
    script = Script({}, {})
    unknown = (("workloads x", "unknown workload 'x'; known are a, b"),)
    script.listings = dict.fromkeys(("base", "head"), stub.listing(unknown=unknown))
    with pytest.raises(SelectionError, match="unknown workload 'x'"):
        run(script)


def test_a_mistake_beside_what_is_there_is_one_too():
    script = Script({"a": 0.001}, {"a": 0.001})
    script.listings = {side: stub.listing("a", unknown=(("workloads x", f"none in {side}"),)) for side in ("base", "head")}
    with pytest.raises(SelectionError, match="none in head"):
        run(script)
    script.listings["base"] = stub.listing("a")  # of one side only: it is new there, or gone
    assert exit_code(run(script)[0]) == 0


def test_a_tree_without_code_is_refused():
    """What would be measured in its place is whatever is installed."""
    script = Script({"a": 0.001}, {"a": 0.001})
    script.listings["base"] = script.listings["base"].model_copy(update={"own": False})
    with pytest.raises(SelectionError, match=r"main: nothing is imported from base, .*: expected a tree with the package"):
        run(script)
    assert exit_code(run(script, head=BASE, base=BASE)[0]) == 0
    assert exit_code(run(script, base=Side("main", Path("base"), python="other"))[0]) == 0


def test_the_time_that_is_left_is_told():
    _, lines = run(Script({"a": 0.001}, {"a": 0.001}))
    assert lines[1] == "pair 1 of 6"
    assert lines[2].startswith("pair 2 of 6, about 0 min 0")


def test_the_result_can_be_read_again_and_shown():
    names = ("a", "a-workload-with-a-name-that-is-quite-long-for-a-workload", "open")
    script = Script({n: noisy(0.001, 0) for n in names}, {names[0]: 0.00105, names[1]: 0.001, names[2]: noisy(0.001, 0, 0.1)})
    script.listings["base"] = stub.listing(*names, torch="2.10.0")
    comparison, _ = run(script)
    assert Comparison.model_validate_json(comparison.model_dump_json()) == comparison
    shown = terminal(comparison)
    assert max(map(len, shown.splitlines())) <= WIDTH
    assert "torch 2.10.0 -> 2.11.0" in shown
    assert "worse: a-fp32-graph-full: a step takes" in " ".join(shown.split())
    text = markdown(comparison)
    assert f"| {names[1]}-fp32-graph-full" in text
    assert "- worse: a-fp32-graph-full: a step takes" in text


def git(repository, *arguments):
    command = ["git", "-c", "user.name=x", "-c", "user.email=x@y", *arguments]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """One commit, in which the step of `a` takes a millisecond and that of `b` two."""
    folder = stub.tree(tmp_path / "repository", {"a": 0.001, "b": 0.002})
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "first")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    return folder


def left_behind(repository):
    """Worktrees that git knows, and folders made for them."""
    return [*git(repository, "worktree", "list").splitlines()[1:], *repository.parent.glob("mpcore-ab-*")]


def test_a_revision_is_a_worktree_and_the_head_is_what_lies_there(repository):
    first = git(repository, "rev-parse", "HEAD")
    (repository / "new.py").write_text("")
    (repository / "inside").mkdir()
    os.chdir(repository / "inside")
    with sides("main", None, None, None) as (base, head):
        assert (base.name, base.commit) == ("main", first)
        assert (base.tree / "plan.json").is_file()
        assert not (base.tree / "new.py").exists()
        assert (head.tree, head.commit) == (repository, None)
        assert len(left_behind(repository)) == 2
    assert left_behind(repository) == []


def test_a_working_tree_without_changes_is_its_commit(repository):
    with sides(str(repository.parent), None, None, None) as (base, head):
        assert base.tree == repository.parent
        assert base.commit is None
        assert head.commit == git(repository, "rev-parse", "HEAD")


def test_two_revisions(repository):
    git(repository, "commit", "-q", "--allow-empty", "-m", "second")
    with sides("HEAD~1", "HEAD", None, None) as (base, head):
        assert base.commit != head.commit
        assert base.tree != head.tree
    assert left_behind(repository) == []


def test_two_pythons_run_the_same_tree(repository, tmp_path):
    python = tmp_path / "python"
    python.symlink_to(sys.executable)
    for base_text in (None, "main"):
        with sides(base_text, base_text, str(python), None) as (base, head):
            assert base.tree == head.tree
            assert (base.python, head.python) == (str(python), sys.executable)
    assert left_behind(repository) == []


def test_folders_are_compared_where_there_is_no_git(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    (tmp_path / "old").mkdir()
    with sides("old", None, None, None) as (base, head):
        assert (base.tree, head.tree) == (tmp_path / "old", tmp_path)
    with pytest.raises(SideError, match=r"'older' is neither a folder nor a revision \(fatal: not a git repository"):
        sides("older", None, None, None).__enter__()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("nowhere", None, None, None), "'nowhere' is neither a folder nor a revision (fatal: Needed a single revision)"),
        (("--all", None, None, None), "'--all' is neither a folder nor a revision"),
        (("", None, None, None), "'' is neither a folder nor a revision"),
        (("main", " ", None, None), "' ' is neither a folder nor a revision"),
        (
            ("main", None, "nowhere/python", None),
            "no Python 'nowhere/python': expected the path of one, such as .venv/bin/python",
        ),
        ((None, None, None, None), "nothing to compare with: expected BASE, or a Python of its own for base or head"),
    ],
)
def test_a_side_that_cannot_be_had_is_named(repository, arguments, sentence):
    with pytest.raises(SideError) as refused:
        sides(*arguments).__enter__()
    assert sentence in str(refused.value)
    assert left_behind(repository) == []


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


def test_a_signal_that_is_ignored_stays_so():
    """As a hang-up is under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with _signals():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) not in (signal.SIG_DFL, signal.SIG_IGN)
    finally:
        signal.signal(signal.SIGHUP, before)


class TestTheCommand:
    def test_what_got_slower_since_a_revision(self, repository):
        stub.tree(repository, {"a": 0.001, "b": 0.0021})
        done = ab("main", "--json", "out.json", "--markdown", "out.md")
        assert done.returncode == 1, done.stderr
        comparison = Comparison.model_validate_json((repository / "out.json").read_text())
        assert statuses(comparison) == {"a": ["same", "same"], "b": ["worse", "same"]}
        assert "6 fresh pairs confirm it" in comparison.cases[1].verdicts[0].sentence
        assert "| b-fp32-graph-full |" in (repository / "out.md").read_text()
        assert "b-fp32-graph-full" in done.stdout
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
            (("main", "--json", "nowhere/x.json"), "mpcore: no folder 'nowhere' to write x.json to"),
            ((), "mpcore: nothing to compare with"),
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


class TestFilesOfOnesOwn:
    def test_one_in_the_tree_is_each_sides_own_and_another_is_shared(self, repository, tmp_path):
        from mpcore.ab.command import _own

        (repository / "inside").mkdir()
        os.chdir(repository / "inside")
        assert _own("../mine.py", [repository]) == "mine.py"
        assert _own(str(tmp_path / "shared.py"), [repository]) == str(tmp_path / "shared.py")


def test_it_answers_at_once_what_it_is_for():
    code = (
        "import sys; from mpcore.cli import main\n"
        "try: main(['ab', '--help'])\n"
        "except SystemExit: sys.exit(any(m in sys.modules for m in ('torch', 'scipy', 'pandas', 'matplotlib')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "--mp-workload" in done.stdout
