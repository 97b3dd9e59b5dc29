"""What the workflows run in a shell, with a Python that ends as it is told."""

import subprocess
from pathlib import Path

import pytest

WORKFLOWS = Path(__file__).parent.parent / ".github" / "workflows"


def steps(workflow, job):
    yaml = pytest.importorskip("ruamel.yaml")  # which check-jsonschema brings along
    return yaml.YAML(typ="safe").load(WORKFLOWS / workflow)["jobs"][job]["steps"]


def script(workflow, job, step):
    """The lines that a step runs."""
    (found,) = [each["run"] for each in steps(workflow, job) if each.get("name") == step]
    return found


@pytest.mark.parametrize(
    ("ends", "code", "says"),
    [(0, 0, ""), (1, 1, ""), (2, 2, ""), (3, 0, "::warning::"), (4, 4, "::error title=blind::"), (143, 143, "")],
)
def test_a_pull_request_that_is_undecided_passes_with_a_warning(tmp_path, ends, code, says):
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\necho "$@" > asked\nexit {ends}\n')
    python.chmod(0o755)
    shell = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script("compare.yml", "compare", "Base against head")]
    done = subprocess.run(shell, cwd=tmp_path, capture_output=True, text=True, check=False)
    asked = "-m mpcore ab --mp-compile-cache .compile-cache --json compare.json --markdown compare.md\n"
    assert (tmp_path / "asked").read_text() == asked
    assert (done.returncode, done.stdout[: len(says)], done.stderr) == (code, says, "")
    assert bool(done.stdout) == bool(says)


MEASURE = {"benchmark": "Measure and judge", "compare": "Base against head", "upgrade": "Pinned against newest"}


@pytest.mark.parametrize(("job", "step"), MEASURE.items())
def test_code_that_was_compiled_before_is_found_where_it_is_restored(job, step):
    """Git leaves the folder out, or the tree would be no commit."""
    (cache,) = [each["with"] for each in steps(f"{job}.yml", job) if each.get("uses", "").startswith("actions/cache@")]
    assert f"--mp-compile-cache {cache['path']} " in script(f"{job}.yml", job, step)
    assert cache["key"].startswith(cache["restore-keys"])
    assert f"{cache['path']}/" in (WORKFLOWS.parent.parent / ".gitignore").read_text().splitlines()
