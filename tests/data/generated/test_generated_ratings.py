import numpy as np
import pytest

from mpcore.data.generated.ratings import GENRES, ratings

USERS, ITEMS, PER_USER = 300, 200, 20


@pytest.fixture(scope="module")
def generated():
    return ratings(USERS, ITEMS, PER_USER)


def test_generated_ratings_have_the_columns_of_a_folder(generated):
    assert generated.column_names == ["user_id", "item_id", "rating", "timestamp"]
    columns = generated.with_format("numpy")[:]
    assert set(columns["user_id"]) == set(range(USERS))
    assert set(columns["item_id"]) <= set(range(ITEMS))
    assert set(columns["rating"] * 2) <= set(range(1, 11))


def test_a_user_rates_an_item_once(generated):
    columns = generated.with_format("numpy")[:]
    keys = columns["user_id"] * ITEMS + columns["item_id"]
    assert len(np.unique(keys)) == len(keys)
    assert 0.6 * PER_USER < len(keys) / USERS < PER_USER


def test_generated_ratings_do_not_change(generated):
    assert ratings(USERS, ITEMS, PER_USER).to_dict() == generated.to_dict()


def test_few_items_get_many_of_the_ratings(generated):
    counts = np.sort(np.bincount(generated["item_id"][:], minlength=ITEMS))[::-1]
    assert counts[: ITEMS // 10].mean() > 2 * counts.mean()


def test_a_user_keeps_to_few_genres(generated):
    """As seen in who rated what: as many components as genres explain far more of it than of items rated as often at random."""
    columns = generated.with_format("numpy")[:]
    rated = np.zeros((USERS, ITEMS))
    rated[columns["user_id"], columns["item_id"]] = 1
    assert explained(rated) > 2 * explained(np.random.default_rng(0).permuted(rated, axis=0))


def explained(rated):
    strengths = np.linalg.svd(rated - rated.mean(0), compute_uv=False) ** 2
    return strengths[: GENRES - 1].sum() / strengths.sum()
