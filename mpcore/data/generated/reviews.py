"""Generated film reviews: a data set that needs no network and no file, and that can be got wrong.

Each review has clauses that tell its label ("the acting was superb") among neutral ones. Three of ten such clauses
are negated ("the acting was never superb"), which turns their meaning round, and neutral clauses carry the same negations.
A bag of words sees the adjective there, and not what the negation belongs to. So a linear model stays near 0.70, and an
encoder with attention learns the rest. Large models from random weights learn nothing of that in a hundred steps.

For them there are reviews with many clauses that disagree, and no negation. In some reviews nearly all clauses tell the label,
in others hardly more than half. The later an adjective stands in its list, the rarer it is. Who knows them all is right about
nine reviews in ten, and who has learnt less is right about fewer.
"""

import functools
import random
from dataclasses import dataclass

from datasets import ClassLabel, Dataset, Features, Value

NEGATED = 0.3
"""Share of the clauses."""

POSITIVE = [
    "superb", "wonderful", "moving", "brilliant", "delightful", "charming", "gripping", "funny", "clever", "honest", "warm",
    "witty", "fresh", "elegant", "tender", "vivid", "thrilling", "graceful", "subtle", "radiant", "lively", "inspired",
    "poetic", "stirring", "dazzling", "sincere", "playful", "sharp", "lovely", "rich", "bold", "haunting", "luminous", "joyful",
    "hypnotic", "crisp", "sublime", "spirited", "exquisite", "timeless",
]  # fmt: skip
NEGATIVE = [
    "dull", "awful", "boring", "clumsy", "tedious", "bland", "weak", "silly", "annoying", "predictable", "flat", "cheap",
    "noisy", "stale", "shallow", "dreary", "forced", "messy", "lifeless", "hollow", "sluggish", "crude", "tiresome", "confused",
    "wooden", "grating", "bleak", "pompous", "lazy", "smug", "vapid", "soulless", "muddled", "murky", "contrived", "dismal",
    "leaden", "insipid", "trite", "ghastly",
]  # fmt: skip
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


@dataclass(frozen=True)
class Style:
    """How reviews are written. neutral, telling: clauses of each. negated: the share of telling ones that are. agreement: the
    share of them that tell the label, uniform between these for each review. words: adjectives of each kind, the first of their
    lists. rareness: the n-th of them occurs as often as 1 / n to this power."""

    neutral: int
    telling: int
    negated: float = NEGATED
    agreement: tuple[float, float] = (1.0, 1.0)
    words: int = len(POSITIVE)
    rareness: float = 0.0

    @functools.cached_property
    def frequencies(self) -> list[float]:
        return [1 / n**self.rareness for n in range(1, self.words + 1)]


def reviews(rows: int, seed: int, style: Style) -> Dataset:
    """A balanced data set with the columns of IMDb: `text`, and `label` (0 negative, 1 positive)."""
    rng = random.Random(f"mpcore reviews {seed}")
    labels = [row % 2 for row in range(rows)]
    rng.shuffle(labels)
    texts = [_review(rng, label, style) for label in labels]
    features = Features({"text": Value("string"), "label": ClassLabel(names=["neg", "pos"])})
    return Dataset.from_dict({"text": texts, "label": labels}, features=features)


def _review(rng: random.Random, label: int, style: Style) -> str:
    parts, agreement = [_neutral(rng) for _ in range(style.neutral)], rng.uniform(*style.agreement)
    for _ in range(style.telling):
        told = label if rng.random() < agreement else 1 - label
        parts.insert(rng.randrange(len(parts) + 1), _opinion(rng, told, style))
    return " and ".join(parts)


def _opinion(rng: random.Random, told: int, style: Style) -> str:
    negated = rng.random() < style.negated
    adjectives = (POSITIVE if (told == 1) != negated else NEGATIVE)[: style.words]
    (adjective,) = rng.choices(adjectives, style.frequencies)
    negation = f"{rng.choice(NEGATIONS)} " if negated else ""
    return f"the {rng.choice(ASPECTS)} was {negation}{adjective}"


def _neutral(rng: random.Random) -> str:
    return rng.choice(NEUTRAL).format(
        who=rng.choice(PEOPLE),
        no=rng.choice(NEGATIONS),
        n=rng.choice(NUMBERS),
        place=rng.choice(PLACES),
        what=rng.choice(ASPECTS),
        day=rng.choice(DAYS),
    )
