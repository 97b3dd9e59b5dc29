"""What the workflows run in a shell, with a Python that ends as it is told."""

import subprocess
from pathlib import Path

import pytest

WORKFLOWS = Path(__file__).parent.parent / ".github" / "workflows"


def script(workflow, job, step):
    """The lines that a step runs."""
    yaml = pytest.importorskip("ruamel.yaml")  # which check-jsonschema brings along
    steps = yaml.YAML(typ="safe").load(WORKFLOWS / workflow)["jobs"][job]["steps"]
    (found,) = [each["run"] for each in steps if each.get("name") == step]
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
    assert (tmp_path / "asked").read_text() == "-m mpcore ab --json compare.json --markdown compare.md\n"
    assert (done.returncode, done.stdout[: len(says)], done.stderr) == (code, says, "")
    assert bool(done.stdout) == bool(says)
