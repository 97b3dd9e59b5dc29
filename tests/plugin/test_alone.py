"""A failure ends with the command that runs it alone, which fails as it did."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def run(*arguments):
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_failure_of_an_own_step_ends_with_the_command_that_runs_it_alone(tmp_path):
    example = (ROOT / "examples" / "my_step.py").read_text()
    broken = example.replace("enabled=dtype is not None", "enabled=False")
    assert broken != example
    script = tmp_path / "my step.py"
    script.write_text(broken)
    done = run(
        "benchmarks",
        "-m",
        "work",
        "--mp-load",
        script,
        "--mp-workload",
        "letters",
        "--mp-device",
        "cpu",
        "--mp-seeds",
        "2",
        "--mp-label",
        "here",
    )
    assert "1 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    sentence = "letters: what build('bf16-amp') made computes its products in float32: expected some in bfloat16"
    told = re.search(r"to run it alone -+\n(pytest .*)\n", done.stdout)[1]
    assert "test_work[letters-bf16-amp-eager-tiny]" in told
    assert told.endswith("--mp-seeds 2 --mp-label here")
    again = run(*shlex.split(told)[1:])
    assert "= 1 failed in" in again.stdout
    assert sentence in again.stdout
    assert again.stdout.count(told) == 1
