"""Trainings against another trainer's."""

import pytest

from mpcore.measure import parity
from mpcore.measure.setup import Setup
from mpcore.records import Case, Requirements
from mpcore.trainers import trainers


def test_both_load_their_kernels_before_the_first_training_is_timed(dots, cpu, monkeypatch):
    """Or whoever goes first is the slower one in one pair of three."""
    fit, loss, seen = parity.fit, dots.loss, []
    monkeypatch.setattr(dots, "loss", lambda model, batch: seen.append(id(model)) or loss(model, batch))
    monkeypatch.setattr(parity, "fit", lambda step, *rest, **options: seen.append("fit") or fit(step, *rest, **options))
    case = Case(workload="dots", precision="fp32", size="tiny")
    splits = {name: dots.split(name, cpu) for name in ("train", "test")}
    found = parity.training_parity(Setup(case, dots, cpu, Requirements()), splits, trainers["plain"])
    assert len(seen[: seen.index("fit")]) == 4
    assert seen.count("fit") == 2 * len(parity.SEEDS)
    assert found.scores["ours"] == pytest.approx(found.scores["theirs"], abs=0.05)
