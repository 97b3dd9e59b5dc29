import datetime

import pytest
import torch
from datasets import Dataset
from scipy.stats import chisquare

from mpcore.data import DataError
from mpcore.data.readers.ratings import Unrated, interactions


def table(user, item, timestamp):
    return Dataset.from_dict({"user_id": user, "item_id": item, "rating": [3.0] * len(user), "timestamp": timestamp})


def rows(found):
    return list(zip(found.user.tolist(), found.item.tolist(), found.held_out.tolist(), strict=True))


def test_the_last_rating_of_each_user_is_held_out_and_ids_are_numbered():
    found = interactions(table([70, -5, 70, -5, 70], [9, 900, 300, 9, 900], [3, 1, 1, 2, 2]), "here", 0)
    assert rows(found) == [(0, 2, False), (0, 0, True), (1, 1, False), (1, 2, False), (1, 0, True)]
    assert (found.users, found.items) == (2, 3)


def test_of_ratings_at_the_same_time_the_last_row_is_held_out():
    found = interactions(table([1, 1, 1], [5, 7, 6], [4, 4, 4]), "here", 0)
    assert rows(found) == [(0, 0, False), (0, 2, False), (0, 1, True)]


def test_a_pair_that_was_rated_twice_counts_once_at_its_last_time():
    found = interactions(table([1, 1, 1], [5, 6, 5], [1, 2, 3]), "here", 0)
    assert rows(found) == [(0, 1, False), (0, 0, True)]


def test_users_with_one_rating_are_only_trained_on():
    found = interactions(table([1, 2, 2], [5, 6, 7], [1, 1, 2]), "here", 0)
    assert rows(found) == [(0, 0, False), (1, 1, False), (1, 2, True)]


def test_users_who_left_too_few_unrated_are_only_trained_on():
    found = interactions(table([1, 1, 1, 2, 2], [5, 6, 7, 5, 6], [1, 2, 3, 1, 2]), "here", 1)
    assert rows(found) == [(0, 0, False), (0, 1, False), (0, 2, False), (1, 0, False), (1, 1, True)]


@pytest.mark.parametrize("item", ["movieId", "movie_id"])
def test_the_columns_of_the_hub_are_known_by_their_names(item):
    dataset = table([1, 1], [5, 6], [2, 1]).rename_columns({"user_id": "userId", "item_id": item})
    assert rows(interactions(dataset, "here", 0)) == [(0, 1, False), (0, 0, True)]


@pytest.mark.parametrize(
    "times",
    [
        [2.5, 1.5],
        ["2005-04-02 23:53:47", "1999-12-11 13:36:39"],
        [datetime.datetime(2005, 4, 2), datetime.datetime(1999, 12, 11)],
        [datetime.date(2005, 4, 2), datetime.date(1999, 12, 11)],
    ],
    ids=["fractions", "texts", "times", "dates"],
)
def test_a_time_may_be_a_number_or_a_date(times):
    assert rows(interactions(table([1, 1], [5, 6], times), "here", 0)) == [(0, 1, False), (0, 0, True)]


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (table([1], [1], [1]).select([]), "here is empty: expected at least one row"),
        (
            table([1], [1], [1]).remove_columns("item_id"),
            "here has no column 'item_id': expected 'user_id', 'item_id', 'timestamp', found ['user_id', ",
        ),
        (table([1.5], [1], [1]), "here: column 'user_id' holds double, expected whole numbers"),
        (table([1], ["Heat"], [1]), "here: column 'item_id' holds string, expected whole numbers"),
        (table([1, None], [1, 2], [1, 2]), "here, row 1: no user_id"),
        (table([1, 1, 1], [1, 2, 3], [1.0, 2.0, float("nan")]), "here, row 2: no timestamp"),
        (table([1], [1], [[1]]), "here: column 'timestamp' holds list<item: int64>, expected numbers or dates: "),
        (table([1], [1], ["yesterday"]), "here: column 'timestamp' holds string, expected numbers or dates: "),
        (
            table([1, 2], [1, 1], [1, 1]),
            "here: nobody to test on among 2 users: expected one with at least 2 ratings who left at least 1 of the 1 items un",
        ),
    ],
    ids=["empty", "missing", "fractions", "names", "gap", "no number", "lists", "no date", "nobody to test on"],
)
def test_a_table_that_cannot_be_used_is_refused_in_one_sentence(dataset, message):
    with pytest.raises(DataError) as caught:
        interactions(dataset, "here", 1)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.fixture
def unrated():
    """Of items 0 to 5, user 0 left 1, 3, 4; user 1 all; user 2 only 0; user 3 none."""
    pairs = [(2, i) for i in (1, 2, 3, 4, 5)] + [(0, 5), (0, 0), (0, 2)] + [(3, i) for i in range(6)]
    user, item = torch.tensor(pairs).T
    return Unrated(user, item, 4, 6)


def test_unrated_items_are_numbered_in_order(unrated):
    assert unrated.count.tolist() == [3, 6, 1, 0]
    user = torch.tensor([0, 0, 0, 1, 1, 1, 1, 1, 1, 2])
    assert unrated.numbered(user, torch.tensor([0, 1, 2, 0, 1, 2, 3, 4, 5, 0])).tolist() == [1, 3, 4, 0, 1, 2, 3, 4, 5, 0]


def test_all_unrated_items_are_drawn_as_often(unrated):
    drawn = unrated.drawn(torch.zeros(3000, dtype=torch.int64), torch.Generator().manual_seed(0))
    counts = drawn.bincount(minlength=6).numpy()
    assert counts[[0, 2, 5]].sum() == 0
    assert chisquare(counts[[1, 3, 4]]).pvalue > 0.01


def test_the_items_of_a_sample_are_different_ones_and_all_as_likely(unrated):
    sample = unrated.sample(torch.ones(3000, dtype=torch.int64), 4, torch.Generator().manual_seed(0))
    ordered = sample.sort().values
    assert (ordered.diff() > 0).all()
    sets, counts = ordered.unique(dim=0, return_counts=True)
    assert len(sets) == 15
    assert chisquare(counts.numpy()).pvalue > 0.01


def test_a_sample_may_take_all(unrated):
    sample = unrated.sample(torch.tensor([0, 0]), 3, torch.Generator().manual_seed(0))
    assert sample.sort().values.tolist() == [[1, 3, 4]] * 2


def test_a_draw_for_a_user_who_rated_everything_does_not_fail(unrated):
    user = torch.tensor([3, 2])
    assert unrated.drawn(user, torch.Generator().manual_seed(0))[1] == 0
