"""The variants of the guide are measured at the first try, with what goes into a pull request; a mistake is one sentence."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
KERNEL, QUANTISATION = ROOT / "examples" / "my_kernel.py", ROOT / "examples" / "my_quantisation.py"


def run(file, name, *options, workload="gpt2-text"):
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "benchmarks", "--mp-device", "cpu"]
    command += ["--mp-load", file, "--mp-workload", workload, "--mp-precision", f"bf16-amp,{name}", *options]
    return subprocess.run([*map(str, command)], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("file", [KERNEL, QUANTISATION])
def test_it_is_no_more_than_25_lines(file):
    assert len([line for line in file.read_text().splitlines() if line.strip()]) <= 25


def test_a_kernel_is_measured_beside_its_base(tmp_path):
    done = run(KERNEL, "bf16-amp-cudnn", "-m", "speed or numerics", "--mp-markdown", tmp_path / "pull-request.md")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed" in done.stdout
    table = (tmp_path / "pull-request.md").read_text()
    assert re.search(r"\| bf16-amp-cudnn +\| .* \| ok +\|", table)
    assert "| x base |" in table


def test_a_quantisation_is_held_to_its_own_format():
    pytest.importorskip("torchao")
    done = run(QUANTISATION, "bf16-amp-float8", "-m", "numerics")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


@pytest.mark.parametrize(
    ("workload", "model"), [("resnet18-mnist", "ResNetForImageClassification"), ("ncf-movielens", "NeuMF")]
)
def test_a_model_without_what_is_patched_is_skipped(workload, model):
    done = run(KERNEL, "bf16-amp-cudnn", "-m", "numerics", workload=workload)
    assert done.returncode == 0, done.stdout + done.stderr
    said = " ".join(done.stdout.split())
    assert f"bf16-amp-cudnn: apply() changes nothing in {model}, so that it is bf16-amp" in said
    assert "1 passed, 1 skipped" in said


def test_a_base_that_is_none_is_said_before_anything_is_measured(tmp_path):
    file = tmp_path / "wrong.py"
    file.write_text(KERNEL.read_text().replace('base = "bf16-amp"', 'base = "bf17-amp"'))
    done = run(file, "bf16-amp-cudnn", "-m", "numerics")
    assert done.returncode == 4
    said = " ".join((done.stdout + done.stderr).split())
    assert "--mp-load wrong.py: variant CudnnAttention has the base 'bf17-amp': expected a mode, one of fp32, tf32, " in said
    assert "Traceback" not in said
