import pytest

from mpcore.__main__ import main
from mpcore.precision import precisions


def test_theory_is_computed(capsys):
    assert main(["theory"]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "float16 1" in lines
    assert "float32 1.0001" in lines
    updated = dict(line.split(" ", 1) for line in lines if line.startswith(("fp", "bf")))
    assert updated["fp32"] == "1.01000"
    assert updated["fp16-manual"] == updated["bf16-manual"] == "1.01000"
    assert updated["bf16-true"] == updated["fp16-true"] == "1.00000"
    assert float(updated["bf16-sr"]) == pytest.approx(1.01, abs=1e-3)
    assert float(updated["bf16-kahan"]) == pytest.approx(1.0078, abs=1e-3)  # the weight, without what waits beside it
    assert "1 0 0" in lines
    assert "1024 7.629e-06 7.451e-09" in lines


def test_a_bracket_is_a_bracket(capsys, monkeypatch):
    monkeypatch.setattr(precisions["fp8"], "unsupported", lambda _: "fp8 needs mpcore[modes]")
    assert main(["theory"]) == 0
    assert "fp8 needs mpcore[modes]" in capsys.readouterr().out


def test_a_mode_that_patches_says_that_it_finds_nothing_to_patch(capsys, monkeypatch):
    monkeypatch.setattr(precisions["fp8"], "unsupported", classmethod(lambda cls, device: None))
    assert main(["theory"]) == 0
    assert "fp8 has nothing to do in Sequential: of its 1 linear layers none" in " ".join(capsys.readouterr().out.split())
