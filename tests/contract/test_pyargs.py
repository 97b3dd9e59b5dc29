"""Whoever has the package installed puts a mode of their own to the contract, from any folder."""

import subprocess
import sys

import pytest

MODE = """
import torch

from mpcore.precision import Precision
from mpcore.registry import precisions


@precisions.register
class Idle(Precision):
    name = "idle"
    {claims}
"""


@pytest.mark.parametrize(
    ("claims", "code", "told"),
    [("low_precision_share = 0.0", 0, "4 passed"), ("low_precision_share = 0.9", 1, "assert 0.0 >= 0.9")],
)
def test_a_mode_is_put_to_the_contract_from_an_empty_folder(tmp_path, claims, code, told):
    (tmp_path / "idle.py").write_text(MODE.format(claims=claims))
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "mpcore.plugin",
        "-p",
        "no:cacheprovider",
        "--pyargs",
        "mpcore.contract",
    ]
    options = ["--mp-load", "idle.py", "--mp-workload", "bert-imdb", "--mp-precision", "idle", "--mp-device", "cpu"]
    chosen = ["-k", "dtypes or settings and tf32"]
    done = subprocess.run([*command, *options, *chosen], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    assert told in done.stdout
