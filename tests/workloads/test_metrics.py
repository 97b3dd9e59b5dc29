import pytest

from mpcore.workloads.metrics import classification


def test_two_classes_are_scored_by_class_one():
    metrics, confusion = classification([0, 0, 0, 1, 1], [0, 0, 1, 1, 0], 2)
    assert confusion == ((2, 1), (1, 1))
    assert metrics == pytest.approx({"accuracy": 0.6, "precision": 0.5, "recall": 0.5, "f1": 0.5})


def test_precision_and_recall_are_not_mixed_up():
    metrics, _ = classification([0, 0, 1, 1], [1, 0, 1, 1], 2)
    assert (metrics["precision"], metrics["recall"]) == pytest.approx((2 / 3, 1))


def test_more_classes_are_scored_by_the_mean_over_classes():
    metrics, confusion = classification([0, 0, 0, 0, 1, 2], [0, 0, 0, 0, 2, 2], 3)
    assert confusion == ((4, 0, 0), (0, 0, 1), (0, 0, 1))  # rows are the truth
    assert metrics["accuracy"] == pytest.approx(5 / 6)
    assert metrics["recall"] == pytest.approx((1 + 0 + 1) / 3)
    assert metrics["precision"] == pytest.approx((1 + 0 + 0.5) / 3)


def test_a_class_that_is_never_predicted_scores_zero_without_a_warning(recwarn):
    metrics, confusion = classification([0, 1], [0, 0], 2)
    assert (metrics["precision"], metrics["recall"], metrics["f1"]) == (0, 0, 0)
    assert confusion == ((1, 0), (1, 0))
    assert not recwarn.list


def test_a_class_that_does_not_occur_keeps_its_row():
    _, confusion = classification([0, 1], [0, 1], 3)
    assert confusion == ((1, 0, 0), (0, 1, 0), (0, 0, 0))


def test_figures_are_plain_numbers():
    metrics, confusion = classification([0, 1], [0, 1], 2)
    assert {type(x) for x in metrics.values()} == {float}
    assert {type(n) for row in confusion for n in row} == {int}
