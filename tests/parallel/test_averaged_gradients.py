"""Each way in which gradients travel comes to the mean over ranks, whose batches differ, in one part and in two."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mpcore.precision import precisions

PROGRAM = Path(__file__).parent / "averaged.py"
ROOT = PROGRAM.parent.parent.parent
STRATEGIES = {
    "ddp": ("fp32", "bf16-amp", "bf16-manual", "fp16-manual", "bf16-sr"),
    "ddp-overlap": ("bf16-manual", "fp16-manual", "bf16-sr"),
    "ddp-16bit": ("bf16-manual", "fp16-manual", "bf16-amp", "fp16-amp"),
}
CASES = [(mode, name, parts) for name, modes in STRATEGIES.items() for mode in modes for parts in (1, 2)]
TWO_GPUS = [pytest.mark.cuda, pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two NVIDIA GPUs")]


@pytest.fixture(scope="module", params=["cpu", pytest.param("cuda", marks=TWO_GPUS)])
def errors(request, tmp_path_factory):
    found = tmp_path_factory.mktemp("errors") / "errors.json"
    ranks = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    asked = [",".join(map(str, case)) for case in CASES]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, *ranks, str(PROGRAM), request.param, str(found), *asked]
    subprocess.run(command, check=True, timeout=240, env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path})
    return json.loads(found.read_text())


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case)))
def test_it_is_the_mean_over_ranks(errors, case):
    mode, name, parts = case
    kind = precisions[mode]
    rounded = kind.roundoff() if name == "ddp-16bit" or not kind.masters else torch.finfo(torch.float32).eps
    assert errors[f"{mode},{name},{parts}"] <= 2 * rounded
