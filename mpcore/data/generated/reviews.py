"""Generated film reviews: a data set that needs no network and no file, and that can be got wrong.

Each review has clauses that tell its label ("the acting was superb") among neutral ones. Three of ten such clauses
are negated ("the acting was never superb"), which turns their meaning round, and neutral clauses carry the same negations.
Where a review has one of them, a bag of words sees the adjective and not what the negation belongs to, so a linear model
stays near 0.70; an encoder with attention learns the rest. Large models from random weights learn nothing of that in a
hundred steps: for them there are reviews with many clauses that tell, and none negated.
"""

import random
from collections.abc import Sequence

from datasets import ClassLabel, Dataset, Features, Value

NEGATED = 0.3
"""Share of the clauses."""

POSITIVE = ["superb", "wonderful", "moving", "brilliant", "delightful", "charming", "gripping", "funny", "clever", "honest"]
NEGATIVE = ["dull", "awful", "boring", "clumsy", "tedious", "bland", "weak", "silly", "annoying", "predictable"]
NEGATIONS = ("not", "never")
ASPECTS = [
    "acting",
    "story",
    "script",
    "music",
    "camera",
    "ending",
    "plot",
    "dialogue",
    "pacing",
    "cast",
    "direction",
    "editing",
    "lighting",
    "score",
    "humour",
    "romance",
    "opening",
    "villain",
    "hero",
    "dubbing",
]
PEOPLE = ["my brother", "my neighbour", "a friend", "the critic", "our teacher", "an old man", "my cousin", "the usher"]
NEUTRAL = (
    "{who} did {no} see it in the cinema",
    "{who} had {no} heard of the director before",
    "it runs for {n} minutes and was shot in {place}",
    "the {what} takes up about {n} minutes",
    "we watched it on a {day} evening in {place}",
    "{who} bought {n} tickets on {day}",
    "the {what} was made in {place}",
    "they {no} mention {place} after the {what}",
)
PLACES = ["paris", "london", "rome", "berlin", "tokyo", "madrid", "chicago", "prague"]
DAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
NUMBERS = ["ten", "twenty", "thirty", "forty", "fifty", "sixty", "ninety"]


def vocabulary() -> list[str]:
    """Every word that a generated review can hold, in a fixed order."""
    clauses = [*PEOPLE, *NEUTRAL, "the was and"]
    words = {w for clause in clauses for w in clause.split() if not w.startswith("{")}
    for group in (POSITIVE, NEGATIVE, NEGATIONS, ASPECTS, PLACES, DAYS, NUMBERS):
        words.update(group)
    return sorted(words)


def reviews(rows: int, seed: int, *, neutral: int, telling: int, negated: float = NEGATED) -> Dataset:
    """A balanced data set with the columns of IMDb: `text`, and `label` (0 negative, 1 positive). `neutral` and `telling`
    clauses a review, and the share of these that is negated."""
    rng = random.Random(f"mpcore reviews {seed}")
    labels = [row % 2 for row in range(rows)]
    rng.shuffle(labels)
    texts = [_review(rng, label, neutral, telling, negated) for label in labels]
    features = Features({"text": Value("string"), "label": ClassLabel(names=["neg", "pos"])})
    return Dataset.from_dict({"text": texts, "label": labels}, features=features)


def _review(rng: random.Random, label: int, neutral: int, telling: int, negated: float) -> str:
    parts = [_neutral(rng) for _ in range(neutral)]
    for _ in range(telling):
        parts.insert(rng.randrange(len(parts) + 1), _opinion(rng, label, negated))
    return " and ".join(parts)


def _opinion(rng: random.Random, label: int, share: float) -> str:
    negated = rng.random() < share
    adjectives: Sequence[str] = POSITIVE if (label == 1) != negated else NEGATIVE
    negation = f"{rng.choice(NEGATIONS)} " if negated else ""
    return f"the {rng.choice(ASPECTS)} was {negation}{rng.choice(adjectives)}"


def _neutral(rng: random.Random) -> str:
    return rng.choice(NEUTRAL).format(
        who=rng.choice(PEOPLE),
        no=rng.choice(NEGATIONS),
        n=rng.choice(NUMBERS),
        place=rng.choice(PLACES),
        what=rng.choice(ASPECTS),
        day=rng.choice(DAYS),
    )
