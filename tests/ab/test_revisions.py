"""The trees that are compared, and what is left of them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from repositories import git, left_behind
from test_ab_command import ab, environment

from mpcore.ab import RevisionError, check_large_files, checkouts


def test_a_revision_is_a_worktree_and_the_head_is_what_lies_there(repository):
    first = git(repository, "rev-parse", "HEAD")
    (repository / "new.py").write_text("")
    (repository / "inside").mkdir()
    os.chdir(repository / "inside")
    with checkouts("main", None, None, None) as (base, head):
        assert (base.name, base.commit) == ("main", first)
        assert (base.tree / "plan.json").is_file()
        assert not (base.tree / "new.py").exists()
        assert (head.tree, head.commit) == (repository, None)
        assert len(left_behind(repository)) == 2
    assert left_behind(repository) == []


def test_a_working_tree_without_changes_is_its_commit(repository):
    with checkouts(str(repository.parent), None, None, None) as (base, head):
        assert base.tree == repository.parent
        assert base.commit is None
        assert head.commit == git(repository, "rev-parse", "HEAD")


def test_two_revisions(repository):
    git(repository, "commit", "-q", "--allow-empty", "-m", "second")
    with checkouts("HEAD~1", "HEAD", None, None) as (base, head):
        assert base.commit != head.commit
        assert base.tree != head.tree
    assert left_behind(repository) == []


def test_two_pythons_run_the_same_tree(repository, tmp_path):
    python = tmp_path / "python"
    python.symlink_to(sys.executable)
    for base_text in (None, "main"):
        with checkouts(base_text, base_text, str(python), None) as (base, head):
            assert base.tree == head.tree
            assert (base.python, head.python) == (str(python), sys.executable)
    assert left_behind(repository) == []


def test_folders_are_compared_where_there_is_no_git(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    (tmp_path / "old").mkdir()
    with checkouts("old", None, None, None) as (base, head):
        assert (base.tree, head.tree) == (tmp_path / "old", tmp_path)
    with pytest.raises(RevisionError, match=r"'older' is neither a folder nor a revision \(fatal: not a git repository"):
        checkouts("older", None, None, None).__enter__()


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
        (
            (None, None, None, None),
            "nothing to compare with: expected BASE, or a Python or command of its own for base or head",
        ),
    ],
)
def test_a_side_that_cannot_be_had_is_named(repository, arguments, sentence):
    with pytest.raises(RevisionError) as refused:
        checkouts(*arguments).__enter__()
    assert sentence in str(refused.value)
    assert left_behind(repository) == []


HELD = "with checkouts('main', None, None, None) as (base, _): print(base.tree, flush=True); input()"


def holding():
    """A process that compares, and its worktree."""
    command = [sys.executable, "-c", f"from mpcore.ab import checkouts\n{HELD}"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment(), text=True)
    return process, Path(process.stdout.readline().strip())


def test_what_a_killed_process_left_is_removed(repository):
    killed, left = holding()
    running, kept = holding()
    killed.kill()
    killed.wait()
    assert left.is_dir()
    with checkouts("main", None, None, None):
        assert not left.parent.exists()
        assert kept.is_dir()  # of a comparison that is still running
    running.communicate("\n", timeout=60)
    assert left_behind(repository) == []


def test_names_of_files_need_not_be_a_text(repository):
    try:
        (repository / os.fsdecode(b"caf\xe9.bin")).write_text("")
    except OSError:
        pytest.skip("this file system takes names that are a text only")
    git(repository, "add", ".")
    git(repository, "commit", "-q", "-m", "a name")
    with checkouts("HEAD", None, None, None) as (base, head):
        assert len(list(base.tree.glob("caf*"))) == 1
        assert head.commit == base.commit
    assert left_behind(repository) == []


def test_a_command_runs_before_the_python_of_a_side(repository):
    """The Python of a container may not be here."""
    with checkouts("main", None, None, "nowhere/python", (None, "env A='b c' --chdir={tree}")) as (base, head):
        assert (base.prefix, base.python) == ([], sys.executable)
        assert (head.prefix, head.python) == (["env", "A=b c", f"--chdir={repository}"], "nowhere/python")


def test_a_side_is_run_under_its_command(repository):
    done = ab("main", "--base-command", "env MARK=1", "--head-command", "env MARK=2", "--head-python", sys.executable)
    assert done.returncode == 0, done.stderr
    assert "env MARK=2" in done.stdout


def test_what_builds_a_side_runs_in_each_tree(repository):
    done = ab("main", "--prepare", "pwd > built; test -f .git || exit 0; echo no compiler >&2; exit 3")
    assert done.returncode == 2
    assert "ended with exit code 3 in base" in done.stderr
    assert done.stderr.rstrip().endswith("no compiler")
    assert not (repository / "built").exists()
    assert ab("main", "--prepare", "pwd > built").returncode == 0
    assert (repository / "built").read_text().strip() == str(repository)


class TestWhatGitLeavesOut:
    @pytest.fixture
    def with_submodule(self, repository):
        """In the second commit a submodule has moved on."""
        library = repository.parent / "library"
        library.mkdir()
        git(library, "init", "-q")
        for number in range(2):
            (library / "version").write_text(str(number))
            git(library, "add", ".")
            git(library, "commit", "-q", "-m", str(number))
            if number == 0:
                git(
                    repository, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(library), "third/library"
                )
                git(repository, "commit", "-q", "-m", "submodule")
        git(repository / "third" / "library", "pull", "-q")
        git(repository, "commit", "-q", "-a", "-m", "moved on")
        return repository

    def test_a_submodule_is_there_as_its_side_has_it(self, with_submodule):
        with checkouts("main~1", "main", None, None) as sides:
            assert [(side.tree / "third" / "library" / "version").read_text() for side in sides] == ["0", "1"]
        assert left_behind(with_submodule) == []
        assert len(git(with_submodule / "third" / "library", "worktree", "list").splitlines()) == 1

    def test_a_shallow_submodule_is_fetched_where_it_lacks_the_commit(self, with_submodule):
        clone = with_submodule / "third" / "library"
        old = git(clone, "rev-parse", "HEAD~1")
        for command in (
            ("fetch", "-q", "--depth=1"),
            ("reflog", "expire", "--expire=now", "--all"),
            ("gc", "-q", "--prune=now"),
        ):
            git(clone, *command)
        with pytest.raises(subprocess.CalledProcessError):
            git(clone, "cat-file", "-e", old)
        with checkouts("main~1", None, None, None) as (base, _):
            assert (base.tree / "third" / "library" / "version").read_text() == "0"

    def test_a_whole_submodule_stays_whole_where_a_commit_is_fetched(self, with_submodule):
        clone, library = with_submodule / "third" / "library", with_submodule.parent / "library"
        git(library, "commit", "-q", "--allow-empty", "-m", "newer")
        git(with_submodule, "update-index", "--cacheinfo", f"160000,{git(library, 'rev-parse', 'HEAD')},third/library")
        git(with_submodule, "commit", "-q", "-m", "newer")
        with checkouts("main", None, None, None) as (base, _):
            assert git(base.tree / "third" / "library", "log", "-1", "--format=%s") == "newer"
        assert git(clone, "rev-parse", "--is-shallow-repository") == "false"

    def test_a_submodule_that_is_not_to_be_had_is_named(self, with_submodule):
        git(with_submodule, "update-index", "--cacheinfo", f"160000,{'1' * 40},third/library")
        git(with_submodule, "commit", "-q", "-m", "nowhere")
        with pytest.raises(RevisionError, match="the submodule third/library is not to be had at 1111") as refused:
            checkouts("main", None, None, None).__enter__()
        assert "expected git -C third/library fetch" in str(refused.value)
        assert left_behind(with_submodule) == []

    def test_a_submodule_that_nobody_has_stays_empty(self, with_submodule):
        git(with_submodule, "submodule", "--quiet", "deinit", "-f", "third/library")
        with checkouts("main", None, None, None) as sides:
            assert not any(any((side.tree / "third" / "library").iterdir()) for side in sides)

    def test_a_pointer_to_a_large_file_is_refused_where_the_other_side_has_the_file(self, repository):
        (repository / ".gitattributes").write_text("*.bin filter=lfs\n")
        (repository / "weights.bin").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 3\n")
        git(repository, "add", ".")
        git(repository, "commit", "-q", "-m", "weights")
        with checkouts("main", None, None, None) as sides:
            check_large_files(sides)
            (repository / "weights.bin").write_text("abc")
            with pytest.raises(RevisionError, match=r"base has only a Git LFS pointer in the place of weights\.bin"):
                check_large_files(sides)
