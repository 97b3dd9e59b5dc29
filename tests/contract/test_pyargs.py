"""Whoever has the package installed puts a mode of their own to the contract, from any folder."""

import subprocess
import sys

import pytest

from mpcore.contract import conftest
from mpcore.precision import PrecisionError

MODE = """
import torch

from mpcore.precision import Precision
from mpcore.registry import precisions


@precisions.register
class Idle(Precision):
    name = "idle"
    {claims}
"""


WORKLOAD = """
from mpcore.registry import workloads
from mpcore.workloads.resnet18_mnist import ResNet18Mnist


@workloads.register
class Mine(ResNet18Mnist):
    name = "mine"

    {method}
"""


def contract(folder, *options):
    """What comes of the contract in a folder of somebody's own."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "mpcore.plugin", "-p", "no:cacheprovider", "--pyargs"]
    run = [*command, "mpcore.contract", "--mp-device", "cpu", *options]
    return subprocess.run(run, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("claims", "code", "told"),
    [("low_precision_share = 0.0", 0, "4 passed"), ("low_precision_share = 0.9", 1, "assert 0.0 >= 0.9")],
)
def test_a_mode_is_put_to_the_contract_from_an_empty_folder(tmp_path, claims, code, told):
    (tmp_path / "idle.py").write_text(MODE.format(claims=claims))
    chosen = ["--mp-workload", "bert-imdb", "--mp-precision", "idle", "-k", "dtypes or settings and tf32"]
    done = contract(tmp_path, "--mp-load", "idle.py", *chosen)
    assert done.returncode == code, done.stdout + done.stderr
    assert told in done.stdout


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("build_model = lambda self: super().build_model().half()", "mine: build_model() returned "),
        ("def loss(self, model, batch): return batch['y']", "mine: loss() failed: KeyError: 'y' (mine.py, line 10: "),
    ],
)
def test_what_is_wrong_with_a_workload_is_said_once_before_the_first_test(tmp_path, method, said):
    (tmp_path / "mine.py").write_text(WORKLOAD.format(method=method))
    done = contract(tmp_path, "--mp-load", "mine.py", "--mp-precision", "fp32,bf16-amp")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR, done.stdout + done.stderr
    assert done.stderr.count(said) == 1
    assert "Traceback" not in done.stdout + done.stderr


def test_a_test_of_somebodys_own_may_have_a_subject_of_another_kind(tmp_path):
    own = "import pytest\n\n\n@pytest.mark.parametrize('subject', ['alice', 'bob'])\ndef test_it(subject): pass\n"
    (tmp_path / "test_own.py").write_text(own)
    done = contract(tmp_path, "test_own.py", "--mp-workload", "bert-imdb", "--mp-precision", "fp32", "-k", "it or tf32")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_mode_that_fails_is_a_sentence_and_no_traceback():
    call = conftest.pytest_pyfunc_call(None)
    next(call)
    with pytest.raises(pytest.fail.Exception) as failed:
        call.throw(PrecisionError("mine: update() failed"))
    assert (str(failed.value), failed.value.pytrace) == ("mine: update() failed", False)
