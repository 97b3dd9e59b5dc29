"""`ncf-movielens`: which film will a user rate next? NeuMF (He et al., "Neural Collaborative Filtering", 2017) on MovieLens
as implicit feedback: every rating is an interaction, however good.

For each item that a user rated it learns to tell it from four that the user did not rate. It is tested on each user's last
rating among 99 unrated items.
"""

import functools
import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mpcore.data import Batch, Source, Split
from mpcore.data.generated.ratings import ratings
from mpcore.data.readers.ratings import Interactions, Unrated, interactions
from mpcore.records import Confusion, Recipe, Size
from mpcore.workloads.base import Workload, workloads
from mpcore.workloads.metrics import ranking
from mpcore.workloads.step_memory import StepMemory

NEGATIVES = 4
"""For each rating that is trained on."""
CANDIDATES = 100
"""That are ranked in the test: the item that was rated, and others."""
CHUNK = 10
"""Candidates that are scored at once, for memory."""
EMBEDDED = {"tiny": (400, 400, 20), "full": (20_000, 5_000, 120)}
"""Users, items, and ratings of a user."""
SHAPES = {"tiny": (8, [16, 16, 8]), "full": (64, [256, 256, 128, 64])}
"""Factors of the matrix factorisation, and the widths of the MLP, from its input on."""
DROPOUT = {"tiny": 0.0, "full": 0.5}
DEVIATION = 0.01
"""Of the embeddings at the beginning."""


class NeuMF(nn.Module):
    """Users and items, numbers of any one shape, in; a logit for each pair out."""

    def __init__(self, users: int, items: int, factors: int, widths: list[int], dropout: float) -> None:
        super().__init__()
        self.gmf_user, self.gmf_item = nn.Embedding(users, factors), nn.Embedding(items, factors)
        self.mlp_user, self.mlp_item = (nn.Embedding(count, widths[0] // 2) for count in (users, items))
        layers = [(nn.Linear(*pair), nn.ReLU(), nn.Dropout(dropout)) for pair in itertools.pairwise(widths)]
        self.mlp = nn.Sequential(*itertools.chain(*layers))
        self.logit = nn.Linear(factors + widths[-1], 1)
        for module in self.modules():
            if isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=DEVIATION)
            elif isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)

    def forward(self, user: Tensor, item: Tensor) -> Tensor:
        factorised = self.gmf_user(user) * self.gmf_item(item)
        perceived = self.mlp(torch.cat((self.mlp_user(user), self.mlp_item(item)), dim=-1))
        return self.logit(torch.cat((factorised, perceived), dim=-1)).squeeze(-1)


@functools.cache
def interactions_of(source: Source, size: Size) -> Interactions:
    """Those of both splits, which come of one table. Raises DataError."""
    hub_id = "AiresPucrs/movielens-user-ratings"
    dataset, where = source.load("movielens", hub_id, "train", lambda _: ratings(*EMBEDDED[size]), files=("ratings.parquet",))
    return interactions(dataset, where, CANDIDATES - 1)


@workloads.register
class NcfMovieLens(Workload):
    """`full` has the widths and the dropout of NVIDIA's (DeepLearningExamples, PyTorch/Recommendation/NCF): 64 factors, an MLP
    of 256-256-128-64, dropout 0.5. Its batches are a quarter as large as NVIDIA's 1,048,576. `tiny` is narrow."""

    name = "ncf-movielens"
    unit = "pairs"
    metric = "hr@10"
    recipes = {
        "tiny": Recipe(epochs=8, batch_size=1024, learning_rate=2e-2, optimiser="Adam", weight_decay=0.0),
        "full": Recipe(epochs=10, batch_size=262_144, learning_rate=4e-3, optimiser="Adam", weight_decay=0.0),
    }
    step_memory = StepMemory(fixed=0.1, per_sample=8.1e-6)
    tolerances = {"tiny": 3.0, "full": 1.0}
    numerics_rows = {"tiny": 32, "full": 1024}
    conditioning = 32.0
    long_training = True
    amp_must_beat = ("fp32",)
    eager_amp_must_beat = ("fp32",)
    amp_not_faster_because = (
        "against TF32 a step is bound by memory: embeddings, their dense gradients and Adam move FP32 in every mode. "
        "Matrix products, which alone get faster in 16 bits, are the smaller part"
    )

    def __init__(self, size: Size, source: Source | None = None, checkpoint: str | None = None) -> None:
        super().__init__(size, source, checkpoint)
        self._unrated: dict[torch.device, Unrated] = {}

    def build_model(self) -> nn.Module:
        factors, widths = SHAPES[self.size]
        found = interactions_of(self.source, self.size)
        return NeuMF(found.users, found.items, factors, widths, DROPOUT[self.size])

    def data(self, split: str) -> Split:
        """In training `user`, `item` and `label` (rows,), 1 where the user rated the item, shuffled. In the test `user`
        (users,) and `items` (users, candidates); the first candidate is the one that was rated."""
        found = interactions_of(self.source, self.size)
        generator = torch.Generator().manual_seed(0)
        chosen = found.held_out == (split == "test")
        user, item = torch.from_numpy(found.user[chosen]), torch.from_numpy(found.item[chosen])
        if split == "test":
            unrated = Unrated(torch.from_numpy(found.user), torch.from_numpy(found.item), found.users, found.items)
            others = unrated.sample(user, CANDIDATES - 1, generator)
            return Split({"user": user, "items": torch.cat((item[:, None], others), dim=1)})
        unrated = self._unrated_in_training(user.device)
        partial = user[unrated.count[user] > 0].repeat_interleave(NEGATIVES)
        rows = {
            "user": torch.cat((user, partial)),
            "item": torch.cat((item, unrated.drawn(partial, generator))),
            "label": torch.cat((torch.ones_like(user), torch.zeros_like(partial))),
        }
        return Split(Split(rows).rows(torch.randperm(len(user) + len(partial), generator=generator)))

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        logits = model(batch["user"], batch["item"])
        logits = logits.float() if logits.element_size() < 4 else logits
        return F.binary_cross_entropy_with_logits(logits, batch["label"].to(logits.dtype))

    def predict(self, model: nn.Module, batch: Batch) -> Tensor:
        """(batch,): the rank of the rated item among the candidates, from 1, behind all that are scored as high. It is the last
        where no score is a number."""
        user = batch["user"][:, None]
        return _ranks(torch.cat([model(user.expand_as(items), items) for items in batch["items"].split(CHUNK, dim=1)], dim=1))

    def dummy_prediction(self, train: Split, test: Split) -> Tensor:
        """By popularity: for all users the items that were rated most."""
        rated = train.columns["item"][train.columns["label"] == 1]
        items = test.columns["items"]
        return _ranks(rated.bincount(minlength=int(items.max()) + 1)[items])

    def score(self, truth: Batch, predicted: Tensor) -> tuple[dict[str, float], Confusion | None]:
        return ranking(predicted.numpy()), None

    def augment(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Other items in place of those that the user did not rate."""
        fresh = self._unrated_in_training(batch["user"].device).drawn(batch["user"], generator)
        return batch | {"item": torch.where(batch["label"] == 0, fresh, batch["item"])}

    def _unrated_in_training(self, device: torch.device) -> Unrated:
        """What is not among the ratings that are trained on: to leave out what is held out for the test would tell it."""
        if device not in self._unrated:
            found = interactions_of(self.source, self.size)
            user, item = (torch.from_numpy(column[~found.held_out]).to(device) for column in (found.user, found.item))
            self._unrated[device] = Unrated(user, item, found.users, found.items)
        return self._unrated[device]


def _ranks(scores: Tensor) -> Tensor:
    """(rows,): the rank of the first of each row, from 1, behind all that are scored as high."""
    return scores.shape[1] - (scores < scores[:, :1]).sum(1)
