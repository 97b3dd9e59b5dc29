"""What a merge group and a pull request stand on, in clones as actions/checkout makes them."""

import json
from types import SimpleNamespace

import pytest
import stub
from repositories import git
from test_ab_command import ab

from mpcore.ab import RevisionError, event_base
from mpcore.records import Comparison

STACKED = {
    "merge": ("merge", "--no-ff", "-q", "-m", "merged"),
    "squash": ("merge", "--squash", "-q"),
    "rebase": ("cherry-pick",),
}


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Two pull requests of two commits and of one, and where GitHub keeps them. Each moves `a`, and the first makes it slow."""
    work, bare = tmp_path / "work", tmp_path / "bare"
    stub.tree(work, {"a": 0.001})
    git(work, "init", "-q", "-b", "main")
    for branch, changes in {"main": [0.001], "pr-1": [0.001, 0.002], "pr-2": [0.001]}.items():
        git(work, "checkout", "-q", "-B", branch, *(["main"] if branch != "main" else []))
        for number, seconds in enumerate(changes):
            (work / f"{branch}-{number}").write_text("")
            if seconds != 0.001:
                stub.tree(work, {"a": seconds})
            git(work, "add", ".")
            git(work, "commit", "-q", "-m", f"{branch} {number}")
    git(tmp_path, "init", "-q", "--bare", str(bare))
    git(bare, "config", "uploadpack.allowAnySHA1InWant", "true")
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return SimpleNamespace(work=work, bare=bare, folder=tmp_path)


def queued(hub, number, stands_on, method):
    """The branch of a group, as a merge queue makes it."""
    branch = f"gh-readonly-queue/main/pr-{number}-{stands_on}"
    git(hub.work, "checkout", "-q", "-b", branch, stands_on)
    git(hub.work, *STACKED[method], f"main..pr-{number}" if method == "rebase" else f"pr-{number}")
    if method == "squash":
        git(hub.work, "commit", "-q", "-m", f"squashed (#{number})")
    return SimpleNamespace(branch=branch, commit=git(hub.work, "rev-parse", "HEAD"))


def checked_out(hub, monkeypatch, commit, depth, event):
    """A clone that holds this commit, in which a job for the event runs."""
    git(hub.work, "push", "-q", "--force", str(hub.bare), "HEAD:refs/heads/head", "main", "pr-1", "pr-2")
    clone = hub.folder / "clone"
    git(hub.folder, "init", "-q", str(clone))
    git(clone, "remote", "add", "origin", f"file://{hub.bare}")
    shallow = (f"--depth={depth}",) if depth else ()
    git(clone, "fetch", "-q", "--no-tags", *shallow, "origin", f"+{commit}:refs/remotes/origin/head")
    git(clone, "checkout", "-q", "--detach", commit)
    (hub.folder / "event.json").write_text(json.dumps(event))
    monkeypatch.setenv("GITHUB_EVENT_PATH", str(hub.folder / "event.json"))
    monkeypatch.chdir(clone)
    return clone


@pytest.mark.parametrize("method", STACKED)
def test_a_group_stands_on_the_group_before_it(hub, monkeypatch, method):
    """The pull request that is slow is first in the queue, and the one behind it is not blamed."""
    first = queued(hub, 1, git(hub.work, "rev-parse", "main"), method)
    second = queued(hub, 2, first.commit, method)
    assert (hub.work / "pr-1-1").exists()
    groups = [(second, first.commit, 0), (first, git(hub.work, "rev-parse", "main"), 1)]
    for group, stands_on, code in groups if method == "rebase" else groups[:1]:
        git(hub.work, "checkout", "-q", group.branch)
        event = {"merge_group": {"base_sha": stands_on, "head_sha": group.commit, "base_ref": "refs/heads/main"}}
        clone = checked_out(hub, monkeypatch, group.commit, 0, event)
        done = ab("--json", "out.json")
        assert done.returncode == code, done.stdout + done.stderr
        comparison = Comparison.model_validate_json((clone / "out.json").read_text())
        assert (comparison.base.commit, comparison.head.commit) == (stands_on, group.commit)
        clone.rename(hub.folder / f"clone-of-{group.commit}")


@pytest.mark.parametrize("checkout", ["main", "main^"])
def test_a_group_that_is_not_checked_out_is_not_compared(hub, monkeypatch, checkout):
    git(hub.work, "checkout", "-q", "main")
    git(hub.work, "commit", "-q", "--allow-empty", "-m", "newest")
    main = git(hub.work, "rev-parse", "main")
    group = queued(hub, 1, main, "merge")
    event = {"merge_group": {"base_sha": main, "head_sha": group.commit}}
    clone = checked_out(hub, monkeypatch, group.commit, 0, event)
    assert event_base() == main
    git(clone, "checkout", "-q", git(hub.work, "rev-parse", checkout))
    with pytest.raises(RevisionError, match="expected a checkout of the merge group"):
        event_base()


class TestAPullRequest:
    def of(self, hub, monkeypatch, *, merged, depth=2):
        """Main has moved on since it was opened."""
        before, head = (git(hub.work, "rev-parse", branch) for branch in ("main", "pr-1"))
        git(hub.work, "checkout", "-q", "main")
        git(hub.work, "merge", "-q", "--no-ff", "-m", "another", "pr-2")
        newest = git(hub.work, "rev-parse", "main")
        git(hub.work, "checkout", "-q", "--detach", "main" if merged else "pr-1")
        if merged:
            git(hub.work, "merge", "-q", "--no-ff", "-m", "GitHub's", "pr-1")
        event = {"pull_request": {"base": {"sha": before}, "head": {"sha": head}}}
        checked_out(hub, monkeypatch, git(hub.work, "rev-parse", "HEAD"), depth, event)
        return before, newest

    def test_whose_merge_is_checked_out_stands_on_its_branch(self, hub, monkeypatch):
        _, newest = self.of(hub, monkeypatch, merged=True)
        assert event_base() == newest

    def test_that_is_itself_checked_out_stands_where_it_left_its_branch(self, hub, monkeypatch):
        before, _ = self.of(hub, monkeypatch, merged=False, depth=0)
        assert event_base() == before

    def test_in_a_clone_without_its_base_says_how_to_have_it(self, hub, monkeypatch):
        _, newest = self.of(hub, monkeypatch, merged=True, depth=1)
        done = ab()
        assert done.returncode == 2
        assert done.stderr == (
            f"mpcore: '{newest}' is neither a folder nor a revision (fatal: Needed a single revision; this clone is shallow: "
            "expected git fetch --unshallow, or actions/checkout with fetch-depth: 0)\n"
        )

    def test_that_is_not_checked_out_is_not_compared(self, hub, monkeypatch):
        """As in a job for pull_request_target, whose checkout is the base."""
        self.of(hub, monkeypatch, merged=True, depth=0)
        git(hub.folder / "clone", "checkout", "-q", "HEAD^1")
        event = json.loads((hub.folder / "event.json").read_text())
        event["pull_request"]["base"]["sha"] = git(hub.folder / "clone", "rev-parse", "HEAD")
        (hub.folder / "event.json").write_text(json.dumps(event))
        with pytest.raises(RevisionError, match="expected a checkout of the pull request or its merge"):
            event_base()


def test_a_job_for_something_else_has_no_base(tmp_path, monkeypatch):
    monkeypatch.setenv("GITHUB_EVENT_PATH", str(tmp_path / "event.json"))
    with pytest.raises(RevisionError, match="expected the event of the job as JSON"):
        event_base()
    (tmp_path / "event.json").write_text('{"schedule": "17 3 * * *"}')
    assert event_base() is None
    monkeypatch.delenv("GITHUB_EVENT_PATH")
    assert event_base() is None
