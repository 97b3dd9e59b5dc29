import pytest
import stub
from repositories import git


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
    monkeypatch.delenv("GITHUB_EVENT_PATH", raising=False)  # of a job that runs these tests
    return folder
