import shutil
from pathlib import Path

import pytest

from mpcore.__main__ import main
from mpcore.kernels.classify import FAMILIES
from mpcore.kernels.reasons import REASONS

ROOT = Path(__file__).parent.parent.parent
ACCEPTED = ROOT / "baselines" / "nvidia-h100-80gb-hbm3" / "0005_0bc697fc.json"


def sections(text):
    """By title, their lines with single spaces."""
    parts = [part.splitlines() for part in text.split("### ")[1:]]
    return {lines[0]: [" ".join(line.split()) for line in lines[1:]] for lines in parts}


def test_the_longest_kernels_of_the_fastest_mode_are_listed_with_what_they_are_for(capsys):
    assert main(["kernels", str(ACCEPTED), "-n", "3"]) == 0
    found = sections(capsys.readouterr().out)
    assert "bert-imdb, full, bf16-manual, graph" in found
    assert not any("bf16-true" in title for title in found)  # which is faster, and loses updates
    rows = found["gpt2-text, full, bf16-manual, graph"]
    assert rows[1] == ("A step of 8 samples of 1,024 tokens takes 48.76 ms on NVIDIA H100 80GB HBM3, its 853 kernels 48.22 ms.")
    assert [row.split(" | ")[1:] for row in rows if "s1688gemm" in row] == [
        ["matrix product", "1", "6.65", "14 % |"],
        ["matrix product", "1", "4.51", "9 % |"],
        ["matrix product", "1", "4.30", "9 % |"],
    ]
    assert "- matrix product: the model's own arithmetic." in rows


def test_a_run_without_lists_of_kernels_says_so(run_file, capsys):
    assert main(["kernels", str(run_file)]) == 0
    assert capsys.readouterr().out == "No step of this run has a list of kernels.\n"


def test_every_family_has_a_reason():
    assert {family for family, _ in FAMILIES} == set(REASONS)


@pytest.mark.parametrize("command", ["kernels", "published"])
def test_all_runs_of_a_folder_are_read_and_what_cannot_be_is_named(tmp_path, capsys, command):
    shutil.copy(ACCEPTED, tmp_path / "good.json")
    (tmp_path / "broken.json").write_text("{")
    assert main([command, str(tmp_path)]) == 4
    printed = capsys.readouterr()
    assert "bert-imdb" in printed.out
    assert "broken.json" in printed.err
