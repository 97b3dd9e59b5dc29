"""`python -m mpcore doctor`, as it is called."""

from types import SimpleNamespace

import pytest

from mpcore.__main__ import main
from mpcore.doctor import spoilers  # before pytester, which unloads what it sees loaded first


@pytest.fixture
def found(monkeypatch):
    """What would spoil figures."""
    sentences = []
    monkeypatch.setattr(spoilers, "host_spoilers", lambda *_: sentences)
    return sentences


def test_it_says_what_will_run_and_that_nothing_is_wrong(found, capsys, tmp_path):
    assert main(["doctor", "--mp-workload", "bert-imdb", "--mp-precision", "fp32", "--baselines", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "Nothing found that would spoil figures." in said
    assert "1 case will run." in said


def test_what_would_spoil_figures_is_an_exit_code(found, capsys, tmp_path):
    found.append("a display is active on the GPU")
    assert main(["doctor", "--mp-workload", "bert-imdb", "--mp-precision", "fp32", "--baselines", str(tmp_path)]) == 1
    assert capsys.readouterr().out.endswith("1 thing would spoil figures\n")


@pytest.mark.parametrize("sentences", [[], ["a display is active on the GPU"]])
def test_where_no_case_runs_nothing_can_be_measured(found, capsys, tmp_path, sentences):
    found += sentences
    selected = ["--mp-workload", "bert-imdb", "--mp-precision", "tf32", "--mp-device", "cpu"]
    assert main(["doctor", *selected, "--baselines", str(tmp_path)]) == 4
    assert "No case will run." in capsys.readouterr().out


def test_minutes_that_are_too_few_for_any_test_measure_nothing(found, capsys, monkeypatch, tmp_path):
    estimates = SimpleNamespace(seconds=lambda *_: 90.0, peak_bytes=lambda *_: None, needed_bytes=lambda *_: None)
    monkeypatch.setattr("mpcore.doctor.estimates.estimates_here", lambda *_: estimates)
    selected = ["--mp-workload", "bert-imdb", "--mp-precision", "fp32", "--mp-device", "cpu", "--mp-minutes"]
    assert main(["doctor", *selected, "1", "--baselines", str(tmp_path)]) == 4
    assert "No case will run." in capsys.readouterr().out


def test_minutes_that_the_suite_would_refuse_are_refused(found, capsys, tmp_path):
    assert main(["doctor", "--mp-workload", "bert-imdb", "--mp-minutes", "5", "--baselines", str(tmp_path)]) == 4
    assert capsys.readouterr().err.startswith("mpcore: --mp-minutes 5: no accepted run tells what tests take here: ")


def test_a_device_that_is_not_there_is_one_sentence(capsys):
    assert main(["doctor", "--mp-device", "cuda:99"]) == 4
    assert capsys.readouterr().err.startswith("mpcore: --mp-device 'cuda:99': this machine has ")


def test_data_that_are_not_there_are_one_sentence(capsys):
    assert main(["doctor", "--mp-data", "/no/where"]) == 4
    assert capsys.readouterr().err.startswith("mpcore: no data folder '/no/where': expected ")
