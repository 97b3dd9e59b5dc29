"""What is kept of a comparison that was interrupted, and how it goes on."""

import argparse
import json
import os
import signal
import subprocess
import time
from contextlib import nullcontext
from pathlib import Path

import pytest
import stub
from repositories import git, left_behind
from scripted import BASE, DEFAULTS, HEAD, Script, compared, noisy, statuses
from test_ab_command import ab, command, environment

from mpcore.__main__ import main
from mpcore.ab import Checkout, compare
from mpcore.ab.resumption import check_resumed
from mpcore.commands.ab import _goes_on, bisect_code, exit_code
from mpcore.records import Comparison, Loaded, LoadedFile, Selection
from mpcore.report.documents import pairs_document
from mpcore.report.render import render
from mpcore.selection import SelectionError

GIVEN = ("--prepare", "true", "--time-all")
OPEN = {"a": noisy(0.001, 0), "b": noisy(0.001, 1)}


def stopping(answer, at, how=KeyboardInterrupt):
    """A side whose process of this number is interrupted."""

    def answered(number):
        if number == at:
            raise how
        return answer(number)

    return answered


def interrupted(script, earlier=None, saved=None):
    def save(comparison):
        (saved if saved is not None else []).append(comparison)

    return compare(BASE, HEAD, Selection(), DEFAULTS, start=script.start, earlier=earlier, save=save)


def by_name(comparison):
    return {case.case.workload: case for case in comparison.cases}


def test_what_was_measured_until_then_comes_back():
    script = Script(OPEN, {"a": noisy(0.001, 2), "b": stopping(noisy(0.001, 3), 4)})
    found = interrupted(script)
    assert set(script.open.values()) == {0}  # no process is left
    assert (found.interrupted, exit_code(found)) == (130, 130)
    assert {name: (len(case.pairs), case.open) for name, case in by_name(found).items()} == {"a": (4, True), "b": (4, True)}
    assert statuses(found) == {"a": ["undecided", "same"], "b": ["undecided", "same"]}
    assert found.cases[0].regressions[0].sentence.endswith("; interrupted after 4 of up to 12 pairs")
    said = render(pairs_document(found), "terminal")
    assert "interrupted, with 2 of 2 cases still to be measured" in said


def test_what_was_decided_before_stays_so_and_a_look_too_many_decides_nothing():
    """The second look is after twelve pairs: what eight say is not asked."""
    script = Script(OPEN, {"a": noisy(0.001, 2), "b": stopping(noisy(0.001005, 3, 0.002), 8, SystemExit(143))})
    comparison = interrupted(script)
    found = by_name(comparison)
    assert comparison.interrupted == 143
    assert (len(found["a"].pairs), found["a"].open, found["a"].regressions[0].status) == (6, False, "same")
    assert (len(found["b"].pairs), found["b"].open, found["b"].regressions[0].status) == (8, True, "undecided")


def test_what_is_worse_and_not_confirmed_is_open():
    script = Script({"a": noisy(0.001, 0)}, {"a": stopping(noisy(0.00103, 1), 8)})
    (case,) = interrupted(script).cases
    assert (len(case.pairs), len(case.confirmation), case.open) == (6, 2, True)
    assert case.regressions[0].status == "undecided"


def test_a_case_that_was_hardly_begun_is_said():
    (case,) = interrupted(Script({"a": noisy(0.001, 0)}, {"a": stopping(noisy(0.001, 1), 0)})).cases
    assert (case.pairs, case.open) == ((), True)
    assert case.regressions[0].sentence == "a-fp32-graph-full: interrupted after 0 of up to 12 pairs"


def test_it_goes_on_where_it_was():
    first = interrupted(Script(OPEN, {"a": noisy(0.001, 2), "b": stopping(noisy(0.00103, 3), 4)}))
    first = Comparison.model_validate_json(first.model_dump_json())
    script = Script(OPEN, {"a": noisy(0.001, 4), "b": noisy(0.00103, 5)})
    found = interrupted(script, earlier=first)
    assert found.interrupted is None
    assert statuses(found) == {"a": ["same", "same"], "b": ["worse", "same"]}
    assert {name: len(case.pairs) for name, case in by_name(found).items()} == {"a": 6, "b": 6}
    assert found.cases[0].pairs[:4] == first.cases[0].pairs
    assert len(script.pairs) == 2 + 6  # the rest of the first look, and what confirms it


def test_what_was_decided_is_not_measured_again():
    ends = {"a": noisy(0.001, 2), "b": stopping(noisy(0.001005, 3, 0.002), 8)}
    first = interrupted(Script(OPEN, ends))
    script = Script(OPEN, {"a": 1.0, "b": noisy(0.001005, 4, 0.002)})
    found = by_name(interrupted(script, earlier=first))
    assert found["a"] == by_name(first)["a"]
    assert {names for names, _ in [(tuple(n), s) for n, s in script.pairs]} == {("b",)}
    assert len(found["b"].pairs) >= 9


def test_a_confirmation_begins_anew():
    first = interrupted(Script({"a": noisy(0.001, 0)}, {"a": stopping(noisy(0.00103, 1), 8)}))
    script = Script({"a": noisy(0.001, 2)}, {"a": noisy(0.00103, 3)})
    (case,) = interrupted(script, earlier=first).cases
    assert (len(case.pairs), len(case.confirmation), case.regressions[0].status) == (6, 6, "worse")
    assert len(script.pairs) == 6


def changed_since(earlier, **fields):
    """A comparison whose head was another one."""
    return earlier.model_copy(update={"head": earlier.head.model_copy(update=fields)})


def test_other_software_hardware_or_code_does_not_go_on():
    """As of a head that was a working tree with its build, and is a worktree without it now."""
    first = interrupted(Script({"a": noisy(0.001, 0)}, {"a": stopping(noisy(0.001, 1), 4)}))
    machine = first.head.machine
    built = Loaded(files=(LoadedFile(path="mine/_C.so", sha256="1"),))
    others = {
        r"head was measured with other software \(torch 2.10 there, 2.11.0 here\): expected that": {
            "machine": machine.model_copy(update={"software": {"torch": "2.10"}})
        },
        "head was measured on some-gpu": {
            "machine": machine.model_copy(update={"hardware": machine.hardware.model_copy(update={"name": "Some GPU"})})
        },
        "head has not the mine/_C.so that it was measured with, which --prepare may build": {"loaded": built},
    }
    for sentence, fields in others.items():
        with pytest.raises(SelectionError, match=sentence):
            interrupted(Script({"a": 0.001}, {"a": 0.001}), earlier=changed_since(first, **fields))


@pytest.mark.parametrize(("name", "goes_on"), [("_C.so", True), ("model.py", False)])
def test_what_is_built_again_need_only_be_there(tmp_path, name, goes_on):
    """A compiler writes the folder of the tree into it."""
    (tmp_path / name).write_text("built in another folder")
    first = interrupted(Script({"a": noisy(0.001, 0)}, {"a": stopping(noisy(0.001, 1), 4)}))
    loaded = Loaded(files=(LoadedFile(path=name, sha256="1"),))
    earlier, sides = changed_since(first, loaded=loaded), (BASE, Checkout("head", tmp_path))
    with nullcontext() if goes_on else pytest.raises(SelectionError, match=f"head has not the {name}"):
        check_resumed(earlier, sides, (first.base, first.head))


@pytest.mark.parametrize(
    ("name", "prepare", "said"),
    [
        ("a.so", None, "out.json --prepare CMD, where CMD builds a.so, which no commit holds"),
        ("a.so", "make", "out.json --prepare make"),
        ("plan.json", None, "out.json"),
    ],
)
def test_what_was_built_in_the_working_tree_is_to_be_built_again(repository, name, prepare, said):
    found = interrupted(Script({"a": noisy(0.001, 0)}, {"a": stopping(noisy(0.001, 1), 4)}))
    loaded = Loaded(files=(LoadedFile(path=name, sha256="1"), LoadedFile(path="/b.so", place="/b.so", sha256="1")))
    sides = {"base": found.base.model_copy(update={"commit": "1"}), "head": found.head.model_copy(update={"commit": "2"})}
    sides["head"] = sides["head"].model_copy(update={"loaded": loaded})
    options = argparse.Namespace(
        json=Path("out.json"), prepare=prepare, accuracy=False, time_all=False, baselines=None, mp_margin=[]
    )
    assert _goes_on(found.model_copy(update=sides), options).endswith(f"ab --resume {said}")


def test_lost_pairs_are_remembered():
    crashing = lambda number: "it crashed" if number == 1 else 0.001  # noqa: E731
    first = interrupted(Script({"a": noisy(0.001, 0)}, {"a": stopping(crashing, 3)}))
    found = interrupted(Script({"a": noisy(0.001, 2)}, {"a": noisy(0.001, 3)}), earlier=first)
    assert found.failures["a-fp32-graph-full"].startswith("head lost 1 of 6 pairs, and base 0")


def test_all_is_saved_after_each_pair():
    saved = []
    interrupted(Script({"a": noisy(0.001, 0)}, {"a": noisy(0.001, 1)}), saved=saved)
    assert [len(comparison.cases[0].pairs) for comparison in saved] == [1, 2, 3, 4, 5, 6]
    assert {comparison.interrupted for comparison in saved} == {3}


@pytest.mark.parametrize(
    ("head", "code"), [(noisy(0.001, 1), 0), (noisy(0.00097, 1), 0), (noisy(0.00103, 1), 1), ("it crashes", 125)]
)
def test_git_bisect_is_told_good_bad_or_neither(head, code):
    comparison, _ = compared(Script({"a": noisy(0.001, 0)}, {"a": head}))
    assert bisect_code(comparison) == code
    assert bisect_code(comparison.model_copy(update={"interrupted": 130})) == 130  # which ends git bisect


def test_git_bisect_skips_a_commit_at_which_the_command_breaks(monkeypatch, capsys):
    def broken(options):
        raise KeyError("lost")

    monkeypatch.setattr("mpcore.commands.ab._compared", broken)
    assert main(["ab", "main", "--git-bisect"]) == 125
    assert "KeyError: 'lost'" in capsys.readouterr().err
    with pytest.raises(KeyError):
        main(["ab", "main"])


class TestTheCommand:
    def test_it_keeps_what_it_has_and_goes_on(self, repository):
        """Ctrl-C once a pair is written."""
        stub.tree(repository, {"a": 0.001, "b": 0.002}, does={"b": "time.sleep(0.3)"})
        git(repository, "commit", "-q", "-a", "-m", "second")
        process = subprocess.Popen(
            command("main~1", "HEAD", "--json", "out.json", *GIVEN), env=environment(), stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )  # fmt: skip
        end = time.monotonic() + 120
        while time.monotonic() < end and not (
            (repository / "out.json").exists() and json.loads((repository / "out.json").read_text())["cases"][0]["pairs"]
        ):
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)
        out, errors = process.communicate(timeout=60)
        assert process.returncode == 130, errors
        assert "interrupted, with " in out
        assert "it goes on with: python -m mpcore ab --resume out.json" in errors
        kept = Comparison.model_validate_json((repository / "out.json").read_text())
        assert kept.interrupted == 130
        done = ab("--resume", "out.json")
        assert done.returncode in (0, 2), done.stderr
        found = Comparison.model_validate_json((repository / "out.json").read_text())
        assert found.interrupted is None
        assert kept.flags == found.flags == GIVEN
        assert found.cases[0].pairs[: len(kept.cases[0].pairs)] == kept.cases[0].pairs
        assert left_behind(repository) == []

    @pytest.mark.parametrize(
        ("arguments", "text", "sentence"),
        [
            (("main",), "{}", "mpcore: --resume goes on with what its file says: expected no revisions"),
            ((), "{}", "mpcore: --resume 'out.json': expected a file that ab --json wrote: base: Field required, found {}"),
            ((), '{"base', "mpcore: --resume 'out.json': expected a file that ab --json wrote: the record: Invalid JSON: EOF"),
            ((), None, "mpcore: --resume 'out.json': cannot be read: No such file or directory"),
        ],
    )
    def test_what_cannot_go_on_is_said(self, repository, arguments, text, sentence):
        if text is not None:
            (repository / "out.json").write_text(text)
        done = ab(*arguments, "--resume", "out.json")
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert line.startswith(sentence)

    def test_what_came_to_its_end_or_is_no_commit_does_not_go_on(self, repository):
        assert ab("main", "HEAD", "--json", "out.json").returncode == 0
        assert "that comparison came to its end" in ab("--resume", "out.json").stderr
        content = json.loads((repository / "out.json").read_text())
        content |= {"interrupted": 130, "head": content["head"] | {"commit": None}}
        (repository / "out.json").write_text(json.dumps(content))
        assert "head (HEAD) is no commit, and may be another one by now" in ab("--resume", "out.json").stderr


def test_other_figures_that_an_interruption_has_lost_are_measured_when_it_goes_on():
    """By then all pairs are decided, and nothing of time is left to measure."""
    asked = []

    def stopped(*_):
        raise KeyboardInterrupt

    def measure(side, selection, cases, kinds):
        asked.append([case.workload for case in cases])
        return {}

    script = Script({"a": noisy(0.001, 0)}, {"a": noisy(0.001, 1)})
    found, _ = compared(script, time_all=False, measure=stopped)
    assert found.interrupted == 130
    assert [case.open for case in found.cases] == [False]
    pairs = len(script.pairs)
    again, _ = compared(script, time_all=False, measure=measure, earlier=found)
    assert again.interrupted is None
    assert len(script.pairs) == pairs
    assert asked == [["a"], ["a"]]


def test_what_cannot_go_on_says_so_when_it_is_interrupted(tmp_path):
    found = interrupted(Script({"a": noisy(0.001, 0)}, {"a": stopping(noisy(0.001, 1), 4)}))
    kept = found.model_copy(update={"base": found.base.model_copy(update={"commit": "1"})})
    for comparison, named in ((found, "main or the working tree"), (kept, "the working tree")):
        said = f"it does not go on with --resume, for no commit holds {named} as it is"
        assert _goes_on(comparison, argparse.Namespace(json=tmp_path / "out.json")) == said
