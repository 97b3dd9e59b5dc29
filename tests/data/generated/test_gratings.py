import torch

from mpcore.data.generated.gratings import CLASSES, gratings


def test_gratings_are_balanced_and_the_same_at_every_call():
    first, second = gratings(40, 0, 16), gratings(40, 0, 16)
    assert first["image"].shape == (40, 3, 16, 16)
    assert first["image"].dtype == torch.uint8
    assert torch.bincount(first["label"]).tolist() == [4] * CLASSES
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["image"], gratings(40, 1, 16)["image"])


def test_neither_a_mean_nor_a_pixel_tells_the_class():
    """A linear model of all pixels finds a third of them, where one in ten is chance."""
    from sklearn.linear_model import RidgeClassifier

    train, test = gratings(600, 0, 16), gratings(200, 1, 16)
    model = RidgeClassifier(alpha=1e5).fit(train["image"].flatten(1).numpy(), train["label"].numpy())
    assert model.score(test["image"].flatten(1).numpy(), test["label"].numpy()) < 0.4
