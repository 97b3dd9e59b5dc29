import pytest
import torch

from mpcore.data import Split


@pytest.fixture
def split():
    return Split({"x": torch.arange(20).reshape(10, 2), "label": torch.arange(10)})


def order(batches):
    return torch.cat([batch["label"] for batch in batches]).tolist()


@pytest.mark.parametrize("size", [1, 3, 5, 10, 11])
def test_batches_lose_no_sample_and_keep_the_order(split, size):
    batches = list(split.batches(size))
    assert order(batches) == list(range(10))
    assert all(len(batch["label"]) == size for batch in batches[:-1])


@pytest.mark.parametrize("size", [1, 3, 5, 10, 11])
def test_shuffled_batches_lose_no_sample(split, size):
    batches = list(split.shuffled(size, seed=0, epoch=0))
    assert sorted(order(batches)) == list(range(10))
    assert all(len(batch["label"]) == size for batch in batches[:-1])


def test_rows_stay_together(split):
    for batch in split.shuffled(3, seed=0, epoch=0):
        assert batch["x"][:, 0].tolist() == (2 * batch["label"]).tolist()


def test_the_order_is_that_of_seed_and_epoch_alone(split):
    torch.manual_seed(1)
    first = order(split.shuffled(3, seed=5, epoch=1))
    torch.manual_seed(2)
    assert order(split.shuffled(4, seed=5, epoch=1)) == first


def test_shuffling_leaves_the_global_generator_alone(split):
    state = torch.get_rng_state()
    order(split.shuffled(3, seed=5, epoch=1))
    assert torch.equal(torch.get_rng_state(), state)


def test_each_seed_and_epoch_has_its_own_order(split):
    orders = [tuple(order(split.shuffled(3, seed, epoch))) for seed in range(3) for epoch in range(3)]
    assert len({*orders, tuple(range(10))}) == 10


def test_a_split_is_as_long_as_its_columns(split):
    assert len(split) == 10


def test_a_split_moves_with_all_its_columns(split):
    moved = split.to(torch.device("meta"))
    assert {column.device.type for column in moved.columns.values()} == {"meta"}
    assert split.columns["x"].device.type == "cpu"
