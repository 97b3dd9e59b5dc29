"""The suite on two ranks over gloo, as its users call it."""

import json

import pytest
from started import PLANTED

CHOSEN = ("--mp-load", PLANTED, "--mp-workload", "good,crash", "--mp-precision", "fp32", "--benchmark-json", "run.json")


@pytest.fixture
def session(run, pytester):
    """What it says, and the run that it saves."""
    result = run(*CHOSEN, "--mp-gpus", "1,2", "-m", "speed or parallel or numerics", "-rs", isolated=True)
    return result, json.loads((pytester.path / "run.json").read_text())["mpcore"]


def test_one_and_several_ranks_are_measured_judged_and_saved(session):
    result, saved = session
    records = {(r["record"]["kind"], r["record"]["case"]["workload"], r["record"]["case"]["gpus"]) for r in saved["results"]}
    alone = {(kind, name, 1) for kind in ("speed", "numerics") for name in ("good", "crash")}
    assert records == alone | {("speed", "good", 2), ("parallel", "good", 2)}
    speeds = {r["record"]["case"]["gpus"]: r["record"] for r in saved["results"] if r["record"]["kind"] == "speed"}
    assert [rank["rank"] for rank in speeds[2]["ranks"]] == [0, 1]
    assert speeds[1]["ranks"] is None
    result.stdout.fnmatch_lines(["good (tiny, eager, ddp on 2 GPUs*", "*crash*the process of rank 1 was ended by SIGSEGV*"])
    result.stdout.fnmatch_lines(["*test_parallel compares with FP64 what several GPUs average*"])
    assert result.ret == 1
