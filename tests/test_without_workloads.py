"""The core without the packages of the extra `workloads`, for whoever brings a training of their own."""

import subprocess
import sys
from pathlib import Path

import pytest

from mpcore.workloads import COME_ALONG, workloads

ROOT = Path(__file__).parent.parent
WITHOUT = """
import sys
sys.modules.update(dict.fromkeys(("transformers", "datasets", "tokenizers")))  # as if they were not installed
import pytest
sys.exit(pytest.main(sys.argv[1:]))
"""


def run(folder, *arguments, suite=ROOT / "benchmarks" / "test_numerics.py"):
    command = [sys.executable, "-c", WITHOUT, "-q", "-p", "no:cacheprovider", "-p", "mpcore.plugin", "--noconftest", suite]
    done = subprocess.run([*command, "--mp-device", "cpu", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_a_training_of_one_s_own_needs_none_of_them(tmp_path):
    code, said = run(tmp_path, "--mp-load", ROOT / "examples" / "my_model.py", "--mp-precision", "fp32,bf16-amp")
    assert code == 0, said
    assert "2 passed" in said


def test_the_whole_suite_is_collected_for_it(tmp_path):
    arguments = ("--mp-load", ROOT / "examples" / "my_model.py", "--collect-only", "--mp-precision", "fp32")
    code, said = run(tmp_path, *arguments, suite=ROOT / "benchmarks")
    assert code == 0, said
    assert "test_numerics[stripes-fp32-" in said
    assert "bert-imdb" not in said


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ("--mp-workload", "bert-imdb"),
            "ERROR: bert-imdb needs transformers, which is not installed: pip install 'mpcore[workloads]'",
        ),
        ((), "ERROR: there is no workload: bert-imdb needs transformers, which is not installed: "),
    ],
)
def test_a_workload_that_needs_them_is_one_sentence_that_names_the_extra(tmp_path, arguments, sentence):
    code, said = run(tmp_path, *arguments)
    assert code == pytest.ExitCode.USAGE_ERROR, said
    assert sentence in said
    assert "Traceback" not in said


def test_the_names_of_those_that_come_along_are_known_before_they_are_imported():
    mine = [name for name in workloads.names() if workloads[name].__module__.startswith("mpcore.")]
    assert mine == [name for names in COME_ALONG.values() for name in names]
    for file, names in COME_ALONG.items():
        assert {workloads[name].__module__ for name in names} == {f"mpcore.workloads.{file}"}


def test_what_lists_cases_loads_no_models_and_no_compiler():
    """They take seconds, and `doctor` and each process of `ab` begin with a list."""
    asked = "import sys; from mpcore.__main__ import main; main(['doctor', '--mp-data', 'embedded'])"
    told = "print([name for name in ('transformers', 'torch._dynamo') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", f"{asked}; {told}"], capture_output=True, text=True, check=True)
    assert "bert-imdb" in done.stdout
    assert done.stdout.endswith("[]\n")
