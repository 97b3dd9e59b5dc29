"""The noise that recorded traces show."""

import json
from pathlib import Path

import numpy as np
import pytest
from synthetic import blocks

from mpcore.__main__ import main
from mpcore.calibrate.fit import fit, read
from mpcore.calibrate.noise import H200, CaseNoise, Noise

TRACES = sorted((Path(__file__).parent.parent / "traces").glob("*.jsonl"))


def test_the_noise_that_is_kept_is_that_of_the_traces():
    found = fit(read(TRACES))
    assert [case.name for case in found.cases] == [case.name for case in H200.cases]
    for case, kept in zip(found.cases, H200.cases, strict=True):
        assert kept.blocks == case.blocks
        assert (kept.block, kept.odd) == pytest.approx((case.block, case.odd), rel=0.01)
        assert kept.correlation == pytest.approx(case.correlation, abs=0.006)
    for name in ("drift", "process", "machine", "odd_shift"):
        assert getattr(H200, name) == pytest.approx(getattr(found, name), rel=0.03), name


def traced(rng, noise, starts, processes):
    """Traces of cases with this noise, as they are recorded."""
    machines = noise.machine * rng.standard_normal(starts)
    return {
        f"start {i}": [{case.name: np.exp(machine + blocks(rng, case, noise)).tolist() for case in noise.cases}
                       for _ in range(processes)]
        for i, machine in enumerate(machines)
    }  # fmt: skip


def test_fitting_finds_the_noise_that_made_the_traces(rng):
    cases = tuple(CaseNoise(f"case {i}", blocks=12, block=0.001, correlation=0.4, odd=0.1) for i in range(20))
    true = Noise(cases, drift=0.004, process=0.002, machine=0.006, odd_shift=-0.05)
    found = fit(traced(rng, true, starts=8, processes=10))
    assert np.mean([case.block for case in found.cases]) == pytest.approx(0.001, rel=0.1)
    assert np.mean([case.correlation for case in found.cases]) == pytest.approx(0.4, abs=0.05)
    assert (found.drift, found.process) == pytest.approx((0.004, 0.002), rel=0.1)
    assert found.odd_shift == pytest.approx(-0.05, rel=0.1)
    assert found.machine == pytest.approx(0.006, rel=0.5)  # of eight starts, which all cases share


GOOD = json.dumps({"step_seconds": {"a": [1.0, 1.1, 1.0, 1.2, 1.0]}})


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "expected one line of JSON a process, found none"),
        (f"{GOOD}\n{GOOD}", "expected a case that three processes of one machine start have recorded"),
        (f"{GOOD}\nnothing", "line 2: expected"),
        ("[]", "line 1: expected"),
        ('{"step_seconds": [1, 2]}', "line 1: expected"),
        ('{"step_seconds": {"a": [1, 2, 3, 4]}}', "line 1: expected"),
        ('{"step_seconds": {"a": [1, 2, 3, 4, 0]}}', "line 1: expected"),
        ('{"step_seconds": {"a": [1, 2, 3, 4, NaN]}}', "line 1: expected"),
        ('{"step_seconds": {"a": "12345"}}', "line 1: expected"),
        ('{"step_seconds": {"a": [true, true, true, true, true]}}', "line 1: expected"),
        (f'{{"step_seconds": {{"a": [1, 1, 1, 1, 1{"0" * 400}]}}}}', "line 1: expected"),
        ("[" * 100000, "line 1: expected"),
    ],
)
def test_traces_that_are_none_are_one_sentence(tmp_path, capsys, text, sentence):
    path = tmp_path / "traces.jsonl"
    path.write_text(text)
    assert main(["calibrate", "--traces", str(path)]) == 4
    error = capsys.readouterr().err
    assert error.startswith(f"mpcore: {path}")
    assert sentence in error
    assert error.count("\n") == 1


def test_a_file_that_is_not_there_is_one_sentence(tmp_path, capsys):
    assert main(["calibrate", "--traces", str(tmp_path / "none")]) == 4
    assert capsys.readouterr().err == f"mpcore: {tmp_path / 'none'}: cannot be read: No such file or directory\n"
