"""Ratings of items by users as implicit feedback: that an item was rated counts, not how well."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from datasets import Dataset
from pyarrow import compute
from torch import Tensor

from mpcore.data.source import DataError

SPELLINGS = {"user_id": ("user_id", "userId"), "item_id": ("item_id", "movie_id", "movieId"), "timestamp": ("timestamp",)}
"""The columns that are read and what they may be called."""


@dataclass(frozen=True)
class Interactions:
    """Who rated what: `user`, `item` and `held_out` (ratings,), no pair twice, ordered by user and, of each, by time. Users
    and items are numbered from 0. What is held out is for the test."""

    user: np.ndarray
    item: np.ndarray
    held_out: np.ndarray
    users: int
    items: int


def interactions(dataset: Dataset, where: str, unrated: int) -> Interactions:
    """Held out is each user's last rating (He et al., "Neural Collaborative Filtering", 2017); of several at the same time, the
    last row. Not held out are users who have no other rating, or who left fewer than `unrated` items unrated.

    Of a pair that was rated twice the last rating counts. Raises DataError with `where`, which names the file.
    """
    if not len(dataset):
        raise DataError(f"{where} is empty: expected at least one row")
    table = dataset.with_format("arrow")[:]
    (user, users), (item, items) = (_numbered(_ids(table, where, name)) for name in ("user_id", "item_id"))
    order = np.lexsort((_times(table, where), user))
    user, item = user[order], item[order]
    latest = ~pd.Series(user * items + item).duplicated(keep="last").to_numpy()
    user, item = user[latest], item[latest]
    rated = np.bincount(user)
    last = np.append(user[1:] != user[:-1], True)
    held_out = last & ((rated >= 2) & (rated <= items - unrated))[user]
    if not held_out.any():
        raise DataError(
            f"{where}: nobody to test on among {users} users: expected one with at least 2 ratings who left at least {unrated} "
            f"of the {items} items unrated"
        )
    return Interactions(user, item, held_out, users, items)


class Unrated:
    """The items that each user has not rated, `count` of them, by their number from 0 in the order of the items.

    Of rated items r_0 < r_1 < ... there are i before r_i, and r_i - i unrated ones. So the n-th unrated item is n + the number
    of all r_i with r_i - i <= n. All users' lie in one sorted tensor, each with its user times `items` added.
    """

    def __init__(self, user: Tensor, item: Tensor, users: int, items: int) -> None:
        self.items = items
        rated = user.bincount(minlength=users)
        self.count = items - rated
        self.first = rated.cumsum(0) - rated
        keys = (user * items + item).sort().values
        place = torch.arange(len(keys), device=keys.device) - self.first[keys // items]
        self.before = keys - place

    def numbered(self, user: Tensor, number: Tensor) -> Tensor:
        """The items, in the shape of both."""
        rated = torch.searchsorted(self.before, user * self.items + number, right=True) - self.first[user]
        return number + rated

    def drawn(self, user: Tensor, generator: torch.Generator) -> Tensor:
        """One of each user's, all as likely; of a user who has rated everything no item at all."""
        return self.numbered(user, below(self.count[user].clamp(min=1), generator))

    def sample(self, user: Tensor, size: int, generator: torch.Generator) -> Tensor:
        """(users, size): different ones of each user's, who must have that many, all sets as likely (R. Floyd, in J. Bentley,
        "Programming Pearls: A Sample of Brilliance", 1987)."""
        numbers = user.new_full((len(user), size), -1)
        for column in range(size):
            last = self.count[user] - size + column
            number = below(last + 1, generator)
            taken = (numbers[:, :column] == number[:, None]).any(1)
            numbers[:, column] = torch.where(taken, last, number)
        return self.numbered(user[:, None], numbers)


def below(limits: Tensor, generator: torch.Generator) -> Tensor:
    """For each limit a whole number from 0 to under it."""
    return torch.randint(2**62, limits.shape, generator=generator, device=limits.device) % limits


def _numbered(ids: pa.ChunkedArray) -> tuple[np.ndarray, int]:
    """Each id's place among the different ids, from 0, and how many these are."""
    numbers, different = pd.factorize(ids.to_numpy(), sort=True)
    return numbers, len(different)


def _ids(table: pa.Table, where: str, name: str) -> pa.ChunkedArray:
    column = _column(table, where, name)
    if not pa.types.is_integer(column.type):
        raise DataError(f"{where}: column {name!r} holds {column.type}, expected whole numbers")
    return column


def _times(table: pa.Table, where: str) -> np.ndarray:
    """Numbers as they are; dates, or texts such as "2005-04-02 23:53:47", as microseconds."""
    column = _column(table, where, "timestamp")
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        return column.to_numpy()
    try:
        return column.cast(pa.timestamp("us")).cast(pa.int64()).to_numpy()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(f"{where}: column 'timestamp' holds {column.type}, expected numbers or dates: {error}") from error


def _column(table: pa.Table, where: str, name: str) -> pa.ChunkedArray:
    """The column of this name in any spelling, without gaps. Raises DataError."""
    found = next((spelling for spelling in SPELLINGS[name] if spelling in table.column_names), None)
    if found is None:
        raise DataError(
            f"{where} has no column {name!r}: expected {', '.join(map(repr, SPELLINGS))}, found {table.column_names}"
        )
    column = table.column(found)
    missing = compute.is_null(column, nan_is_null=True)
    if compute.any(missing).as_py():
        raise DataError(f"{where}, row {compute.index(missing, True).as_py()}: no {found}")
    return column
