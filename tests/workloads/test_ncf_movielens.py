import copy

import datasets
import numpy as np
import pytest
import torch
from sklearn.metrics import ndcg_score
from torch import nn

from mpcore.data import DataError, Source
from mpcore.data.generated.ratings import ratings
from mpcore.device.flops import FlopCount
from mpcore.precision.autocast import BF16Autocast
from mpcore.precision.native import FP32
from mpcore.training.evaluation import evaluate
from mpcore.training.loop import fit
from mpcore.training.step import TrainStep
from mpcore.workloads.checked import dummy_score
from mpcore.workloads.metrics import ranking
from mpcore.workloads.ncf_movielens import CANDIDATES, DROPOUT, NEGATIVES, SHAPES, NcfMovieLens, NeuMF, interactions_of

pytestmark = pytest.mark.usefixtures("datasets_cache")


@pytest.fixture(scope="module")
def workload():
    return NcfMovieLens("tiny")


@pytest.fixture(scope="module")
def splits(workload):
    return {name: workload.data(name) for name in ("train", "test")}


@pytest.fixture(scope="module")
def found(workload):
    return interactions_of(workload.source, "tiny")


def keys(user, item, found):
    return set((user * found.items + item).flatten().tolist())


class Popularity(nn.Module):
    """Scores an item, whoever the user is, by the ratings that it has."""

    def __init__(self, counts):
        super().__init__()
        self.counts = torch.as_tensor(counts, dtype=torch.float32)

    def forward(self, user, item):
        return self.counts[item]


def popularity(workload, split, found):
    model = Popularity(np.bincount(found.item[~found.held_out], minlength=found.items))
    return workload.score(split.columns, workload.predict(model, split.columns))[0]["hr@10"]


def test_a_rating_is_trained_on_with_its_negatives(splits, found):
    columns = splits["train"].columns
    user, item, label = columns["user"], columns["item"], columns["label"]
    kept = ~found.held_out
    assert len(user) == (1 + NEGATIVES) * kept.sum()
    assert label.unique().tolist() == [0, 1]
    rated = keys(found.user[kept], found.item[kept], found)
    assert keys(user[label == 1], item[label == 1], found) == rated
    assert not keys(user[label == 0], item[label == 0], found) & rated
    per_user = np.bincount(found.user[kept])
    assert (user[label == 0].bincount().numpy() == NEGATIVES * per_user).all()
    assert (item >= 0).all()
    assert (item < found.items).all()


def test_any_first_rows_are_of_many_users_and_of_both_labels(splits):
    first = splits["train"].rows(slice(100))
    assert len(first["user"].unique()) > 60
    assert 5 < first["label"].sum() < 40


def test_a_user_is_tested_on_the_last_rating_among_others(splits, found):
    user, items = splits["test"].columns["user"], splits["test"].columns["items"]
    assert items.shape == (found.users, CANDIDATES)
    assert user.tolist() == list(range(found.users))
    assert items[:, 0].tolist() == found.item[found.held_out].tolist()
    assert all(len(set(row)) == CANDIDATES for row in items.tolist())
    assert not keys(user[:, None], items[:, 1:], found) & keys(found.user, found.item, found)


def test_the_splits_do_not_change(workload, splits):
    for name, split in splits.items():
        again = workload.data(name).columns
        assert all(torch.equal(column, again[key]) for key, column in split.columns.items())


def test_negatives_are_drawn_anew_before_each_step(workload, splits, found):
    batch = splits["train"].rows(slice(2000))
    fresh = workload.augment(batch, torch.Generator().manual_seed(1))
    rated = batch["label"] == 1
    assert torch.equal(fresh["item"][rated], batch["item"][rated])
    assert (fresh["item"][~rated] != batch["item"][~rated]).float().mean() > 0.95
    kept = ~found.held_out
    assert not keys(fresh["user"][~rated], fresh["item"][~rated], found) & keys(found.user[kept], found.item[kept], found)
    same = workload.augment(batch, torch.Generator().manual_seed(1))
    assert torch.equal(fresh["item"], same["item"])


def test_the_loss_is_the_mean_cross_entropy(workload, splits):
    model = workload.build_model().eval()
    batch = splits["train"].rows(slice(8))
    chance = torch.sigmoid(model(batch["user"], batch["item"]))
    expected = -torch.where(batch["label"] == 1, chance, 1 - chance).log().mean()
    torch.testing.assert_close(workload.loss(model, batch), expected)


class Fixed(nn.Module):
    """Scores each item by its number, as `scores` says."""

    def __init__(self, scores):
        super().__init__()
        self.scores = scores

    def forward(self, user, item):
        return self.scores[item]


@pytest.mark.parametrize(
    ("scores", "rank"),
    [
        (torch.arange(100.0, 0, -1), 1),
        (torch.arange(100.0), 100),
        (torch.cat((torch.tensor([5.0]), torch.full((3,), 9.0), torch.full((2,), 5.0), torch.zeros(94))), 6),
        (torch.zeros(100), 100),
        (torch.full((100,), torch.nan), 100),
    ],
    ids=["first", "last", "behind its equals", "constant", "no number"],
)
def test_the_rank_is_behind_all_that_are_not_scored_lower(workload, scores, rank):
    batch = {"user": torch.tensor([0, 1]), "items": torch.arange(CANDIDATES).repeat(2, 1)}
    assert workload.predict(Fixed(scores), batch).tolist() == [rank, rank]


def test_hits_and_their_gains_are_those_of_the_first_ten():
    ranks = np.array([1, 3, 10, 11])
    scores = np.tile(np.arange(CANDIDATES, 0, -1.0), (4, 1))
    relevance = (np.arange(1, CANDIDATES + 1) == ranks[:, None]).astype(float)
    assert ranking(ranks) == {"hr@10": 0.75, "ndcg@10": pytest.approx(ndcg_score(relevance, scores, k=10))}


def test_a_model_that_knows_nothing_scores_nothing(workload, splits):
    predicted = workload.predict(Fixed(torch.zeros(400)), splits["test"].columns)
    assert workload.score(splits["test"].columns, predicted) == ({"hr@10": 0.0, "ndcg@10": 0.0}, None)


@pytest.mark.parametrize("mode", [FP32, BF16Autocast])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_training_beats_popularity(workload, splits, found, cpu, mode, seed):
    step = TrainStep(workload, mode(), cpu, seed=seed)
    fit(step, splits["train"], seed=seed)
    reached = evaluate(step, splits["test"]).metrics["hr@10"]
    known = popularity(workload, splits["test"], found)
    assert known == dummy_score(workload)
    assert known > 0.15  # it knows something: the margin is none over chance
    assert known + 0.2 < reached < 0.8


def write(folder, dataset):
    (folder / "movielens").mkdir()
    dataset.to_parquet(folder / "movielens" / "ratings.parquet")
    return Source(str(folder))


def test_a_folder_of_ratings_trains(tmp_path, cpu):
    source = write(tmp_path, ratings(60, 200, 20))
    workload = NcfMovieLens("tiny", source).with_batch_size(256)
    train, test = (workload.split(name, cpu) for name in ("train", "test"))
    assert test.columns["items"].shape == (60, CANDIDATES)
    step = TrainStep(workload, FP32(), cpu)
    losses = fit(step, train).losses
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    assert 0 < evaluate(step, test).metrics["hr@10"] <= 1


def test_ratings_that_cannot_be_used_are_refused_with_their_file(tmp_path):
    source = write(tmp_path, ratings(20, 50, 10))
    with pytest.raises(DataError) as caught:
        NcfMovieLens("tiny", source).data("train")
    path = tmp_path / "movielens" / "ratings.parquet"
    assert str(caught.value).startswith(f"{path}: nobody to test on among 20 users: ")


def test_a_folder_without_ratings_is_refused_with_the_file_that_is_missing(tmp_path):
    with pytest.raises(DataError, match=r"movielens/ratings\.parquet"):
        NcfMovieLens("tiny", Source(str(tmp_path))).data("test")


def test_the_hub_is_asked_for_its_training_split(monkeypatch):
    asked = []
    hub = ratings(30, 200, 10).rename_columns({"user_id": "userId", "item_id": "movieId"})
    monkeypatch.setattr("datasets.load_dataset", lambda *name, split: asked.append((*name, split)) or hub)
    split = NcfMovieLens("tiny", Source("hub")).data("test")
    interactions_of.cache_clear()
    assert asked == [("AiresPucrs/movielens-user-ratings", "train")]
    assert len(split) == 30


def test_a_user_who_rated_everything_is_trained_on_without_negatives(tmp_path):
    all_items = list(range(150))
    every = {"user_id": [99] * 150, "item_id": all_items, "rating": [5.0] * 150, "timestamp": all_items}
    source = write(tmp_path, datasets.concatenate_datasets([ratings(30, 150, 10), datasets.Dataset.from_dict(every)]))
    workload = NcfMovieLens("tiny", source)
    columns = workload.data("train").columns
    of_them = columns["user"] == 30
    assert columns["label"][of_them].tolist() == [1] * 150
    assert 30 not in workload.data("test").columns["user"]
    fresh = workload.augment(columns, torch.Generator())
    assert torch.equal(fresh["item"][of_them], columns["item"][of_them])


def test_what_is_unrated_is_kept_by_the_workload_and_shared_with_its_other_sizes_of_batch(workload, splits):
    larger = NcfMovieLens("tiny").with_batch_size(64)
    larger.augment(splits["train"].rows(slice(8)), torch.Generator())
    (unrated,) = larger.with_batch_size(128)._unrated.values()
    assert unrated.items == interactions_of(workload.source, "tiny").items
    assert unrated not in workload._unrated.values()


def test_data_do_not_go_where_the_model_is_built(workload):
    interactions_of.cache_clear()
    with torch.device("meta"):
        model = NcfMovieLens("tiny").build_model()
    assert model.gmf_user.weight.shape == (400, 8)
    assert workload.data("test").columns["user"].device.type == "cpu"


@pytest.fixture(scope="module")
def full():
    """For the 138,493 users and 26,744 items of MovieLens-20M."""
    factors, widths = SHAPES["full"]
    with torch.device("meta"):
        return NeuMF(138_493, 26_744, factors, widths, DROPOUT["full"])


def test_the_full_model_is_nvidia_s(full):
    mlp = (256 * 256 + 256) + (256 * 128 + 128) + (128 * 64 + 64)
    expected = (138_493 + 26_744) * (64 + 128) + mlp + (64 + 64 + 1)
    assert sum(p.numel() for p in full.parameters()) == expected == 31_832_577


def test_a_full_step_has_the_flops_of_its_layers(full):
    rows = 1000
    batch = {name: torch.zeros(rows, dtype=torch.int64, device="meta") for name in ("user", "item", "label")}
    with FlopCount() as flops:
        NcfMovieLens("full").loss(copy.deepcopy(full), batch).backward()
    # 2 for each weight and row, forward, for the gradient of the weights and for that of the inputs
    assert flops.total == 3 * 2 * rows * (256 * 256 + 256 * 128 + 128 * 64 + 128)
