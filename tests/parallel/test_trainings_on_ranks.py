"""Whole trainings on two ranks over gloo: they share each batch, and reach what one rank reaches from the same seed."""

import re
import time

import pytest
import torch
from started import case, launcher

from mpcore.device import agreement
from mpcore.gate.checks import checks
from mpcore.measure import Bench
from mpcore.measure.accuracy import check_shared
from mpcore.parallel.pace import Pace
from mpcore.precision import Inapplicable
from mpcore.records import Case, Failure, Quality
from mpcore.training.loop import WINDOW
from mpcore.training.parts import rank_rows

CASES = {name: case("good", strategy=name) for name in ("ddp", "fsdp")}
UNEVEN = CASES["ddp"].model_copy(update={"batch_size": 15})


@pytest.fixture(scope="module")
def found():
    with launcher("good", seeds=2, tolerance_points=50.0) as ranks:
        cases = [*CASES.values(), UNEVEN]
        measured = ranks.measure(cases, kind="accuracy")
    return {"uneven" if each.batch_size else each.strategy: measured[each] for each in cases}


@pytest.mark.parametrize("strategy", CASES)
def test_a_training_is_that_of_one_rank_with_the_whole_batch(found, strategy):
    quality = found[strategy]
    assert isinstance(quality, Quality), quality
    assert quality.requirements.tolerance_points == 50.0
    assert (quality.reference.precision, quality.reference.gpus, quality.scores.gpus) == ("fp32", 1, 2)
    assert [training.steps for training in quality.trainings] == [8, 8]
    assert quality.scores.by_seed == pytest.approx(quality.reference.by_seed, abs=0.01)
    assert "points from fp32 on one GPU over 2 seeds" in " ".join(check.sentence for check in checks(quality))


def test_strategies_train_alike(found):
    losses = [found[strategy].trainings[1].losses for strategy in CASES]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_a_batch_that_cannot_be_shared_alike_is_a_sentence(found):
    assert isinstance(found["uneven"], Failure)
    assert found["uneven"].skipped
    assert found["uneven"].sentence == "a batch of 15 samples cannot be shared by 2 GPUs alike"


def test_nothing_is_trained_for_a_batch_that_cannot_be_shared_alike(monkeypatch, cpu):
    monkeypatch.setattr("mpcore.measure.bench.measure_accuracy", None)
    spread = Case(workload="resnet18-mnist", precision="fp32", size="tiny", strategy="ddp", gpus=3, batch_size=64)
    with pytest.raises(Inapplicable, match="a batch of 64 samples cannot be shared by 3 GPUs alike"):
        Bench(cpu).accuracy(spread)


@pytest.mark.parametrize(("strategy", "ranks"), [("ddp", [2]), ("ddp-syncbn", [])])
def test_the_last_batch_of_each_rank_is_looked_at_where_its_statistics_are_its_own(monkeypatch, cpu, strategy, ranks):
    looked_at = []
    monkeypatch.setattr("mpcore.measure.accuracy.check_last_batch", lambda _, count: looked_at.append(count))
    spread = Case(workload="resnet18-mnist", precision="fp32", size="tiny", strategy=strategy, gpus=2)
    check_shared(Bench(cpu).setups.of(spread))
    assert looked_at == ranks


def test_a_training_may_take_longer_than_a_case_as_long_as_it_goes_on():
    begin = time.monotonic()
    with launcher("slow", seconds=6.0, seeds=1) as ranks:
        spread = case("slow", strategy="ddp")
        quality = ranks.measure([spread], kind="accuracy")[spread]
    assert isinstance(quality, Quality), quality
    assert time.monotonic() - begin > 6.0


def test_a_training_that_hangs_is_ended_by_the_time_that_its_steps_take():
    with launcher("hang-later", seconds=4.0, seeds=1) as ranks:
        spread = case("hang-later", strategy="ddp")
        failure = ranks.measure([spread], kind="accuracy", seconds=4.0)[spread]
    assert isinstance(failure, Failure)
    assert failure.hung
    said = r"its ranks took more than \d+ s until the next sign of life in a training and were ended; rank 0 was in barrier"
    assert re.match(said, failure.sentence), failure.sentence
    assert "rank 1 was in fault (planted.py, line" in failure.sentence


def test_a_training_says_how_long_it_will_be_silent(monkeypatch):
    now = iter([100.0, 103.0, 152.0, 172.0])
    monkeypatch.setattr("mpcore.parallel.pace.time.monotonic", lambda: next(now))
    said = []
    report = Pace(said.append)("a training")
    for done in (1, 50, 60):
        report(done, 60, 0.5)
    assert [alive.seconds for alive in said] == [0.0, 3.0 * WINDOW, 10.0, 0.0]


@pytest.mark.parametrize(("rows", "shares"), [(6, [[0, 1, 2], [3, 4, 5]]), (7, [[0, 1, 2, 3], [4, 5, 6, 0]]), (1, [[0], [0]])])
def test_each_rank_has_as_many_samples(monkeypatch, rows, shares):
    monkeypatch.setattr(agreement, "ranks", lambda: 2)
    found = []
    for rank in range(2):
        monkeypatch.setattr(agreement, "rank", lambda rank=rank: rank)
        found.append(rank_rows({"x": torch.arange(rows)})["x"].tolist())
    assert found == shares
