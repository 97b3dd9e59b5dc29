"""The working tree beside the commit of an accepted run: is it the code, or the machine?"""

import pytest
import stub
from repositories import git, left_behind

from mpcore.ab import measure_beside
from mpcore.gate.confirmation import caused
from mpcore.gate.margins import Margins
from mpcore.records import PairedConfirmation, Regression, Selection, Speed

WORSE = Regression(kind="speed", case="a", metric="step time", status="worse", value=None, limit=None, sentence="a: slower")
A = stub.case("a")


def verdict(revision, other_software="", target=""):
    """Of a step that is slower than in accepted runs, of which `revision` is the last."""
    pairs, beside = (measure_beside(r, [A], Selection(), count=4) if r else {} for r in (revision, target))
    reason, beside = (beside, {}) if isinstance(beside, str) else ("", beside)
    if not isinstance(pairs, str):
        pairs = PairedConfirmation(
            commit=revision,
            pairs=pairs,
            other_software=other_software,
            target=target,
            target_pairs=beside,
            target_reason=reason,
        )
    (found,) = caused([WORSE], pairs, Speed.model_construct(device="cpu", case=A), Margins())
    return found


@pytest.fixture
def slower(repository):
    """The accepted commit is fast, and what follows it slow. Its hash."""
    accepted = git(repository, "rev-parse", "HEAD")
    stub.tree(repository, {"a": 0.00105, "b": 0.002})
    git(repository, "commit", "-qam", "slower")
    return accepted


def test_where_the_accepted_commit_is_fast_today_it_is_the_code(repository, slower):
    found = verdict(slower)
    assert found.status == "worse"
    assert f"a: slower. Beside the accepted commit {slower[:8]} it takes +5.0 %" in found.sentence
    assert found.sentence.endswith("in 4 pairs of today. It is the code")
    assert not left_behind(repository)


def test_where_the_accepted_commit_is_as_slow_today_it_is_the_machine(repository):
    found = verdict(git(repository, "rev-parse", "HEAD"))
    assert found.status == "undecided"
    assert found.sentence.endswith("It is not the code. The software is the same, so that it is the machine")


def test_other_software_may_be_slower_and_fails_until_it_is_accepted(repository):
    found = verdict(git(repository, "rev-parse", "HEAD"), "torch 2.11 there, 2.13 here")
    assert found.status == "worse"
    assert found.sentence.endswith("not the code, but the machine or the software (torch 2.11 there, 2.13 here)")


def test_what_its_target_has_already_is_no_fault_of_a_change(repository, slower):
    git(repository, "commit", "-q", "--allow-empty", "-m", "a change")
    assert verdict(slower, target="HEAD~1").status == "undecided"
    assert verdict(slower, target="HEAD~1").sentence.endswith("HEAD~1 itself has regressed, and not this change")
    assert verdict(slower, target=slower).status == "worse"


def test_a_target_that_cannot_be_had_is_no_excuse_and_says_why(repository, slower):
    found = verdict(slower, target="origin/main")
    assert found.status == "worse"
    assert ". It was not measured beside origin/main, which it is to go into: 'origin/main' is neither" in found.sentence


def test_a_clone_without_the_accepted_commit_says_so(repository):
    found = verdict("a" * 40)
    assert found.status == "worse"
    assert ". It was not measured beside the accepted commit: " in found.sentence
    assert "is neither a folder nor a revision" in found.sentence
