"""Generated ratings of items by users, from latent factors.

A user's factors are the shares of a few genres in what the user watches, an item's are its genre and its rank there. Who
knows a user's genres, and the popular items of each, knows most of what is rated next. Who knows popularity alone is
misled by the hits of genres that the user does not watch.
"""

import numpy as np
import pyarrow as pa
from datasets import Dataset

GENRES = 10
CONCENTRATION = 0.1
"""Of the Dirichlet distribution of tastes: so small that a user watches one or two genres."""
STRAY = 0.05
"""The share of ratings that follow no taste."""
SKEW = 2.0
"""An item's rank in its genre is u^SKEW of the genre's size, u uniform: the head is rated far more often than the tail."""


def ratings(users: int, items: int, per_user: int) -> Dataset:
    """`user_id`, `item_id`, `rating` (0.5 to 5) and `timestamp` (seconds), at most one row for each user and item.

    A user rates from half to one and a half times `per_user` items, fewer by what is drawn twice. `items`: a multiple of
    the genres' number.
    """
    rng = np.random.default_rng(0)
    taste = (1 - STRAY) * rng.dirichlet([CONCENTRATION] * GENRES, users) + STRAY / GENRES
    drawn = rng.multinomial(rng.integers(per_user // 2, per_user * 3 // 2, users, endpoint=True), taste)
    user, genre = np.indices(drawn.shape).reshape(2, -1).repeat(drawn.ravel(), axis=1)
    rank = (items // GENRES * rng.random(len(user)) ** SKEW).astype(np.int64)
    user, item = np.divmod(np.unique(user * items + rank * GENRES + genre), items)
    stars = rng.normal(3.5, 1, len(user)).clip(0.5, 5)
    columns = {
        "user_id": user,
        "item_id": rng.permutation(items)[item],
        "rating": np.round(stars * 2) / 2,
        "timestamp": rng.integers(1_000_000_000, 1_500_000_000, len(user)),
    }
    return Dataset(pa.table(columns))
