"""Generated stories: text that needs no network and no file, and whose words depend on words far before them.

A sentence's verb agrees in number with its first noun, over relative clauses with nouns and verbs of their own. An example:
"the dogs near the dog that the dogs see sleep .". And a story goes on about the noun and the verbs that it began with. Who
knows only the word before knows neither.
"""

import random
from dataclasses import dataclass

NOUNS = ["baker", "boat", "cat", "cow", "dog", "duck", "farmer", "guard", "horse", "pilot", "singer", "train"]
DOING = ["arrive", "laugh", "play", "rest", "sleep", "wait"]
DOING_TO = ["find", "hear", "know", "see"]
SENTENCES = 12, 20
"""In a story, at least and at most."""
PLAIN = (0.3, 0.7, 1.0)
"""The share of nouns about which nothing more is said, by how many clauses they are in."""


@dataclass(frozen=True)
class _Cast:
    """What a story is about."""

    noun: str
    doing: list[str]
    doing_to: str


def vocabulary() -> list[str]:
    """Every word of the stories, in a fixed order."""
    forms = [form for word in (*NOUNS, *DOING, *DOING_TO) for form in (word, f"{word}s")]
    return sorted([*forms, "the", "that", "near", "."])


def stories(words: int, seed: int) -> list[str]:
    """As many as it takes to have at least `words` words, which spaces divide; each ends with its line."""
    rng = random.Random(f"mpcore stories {seed}")
    lines = []
    while words > 0:
        story = _story(rng)
        words -= len(story)
        lines.append(" ".join(story) + "\n")
    return lines


def _story(rng: random.Random) -> list[str]:
    cast = _Cast(rng.choice(NOUNS), rng.sample(DOING, 2), rng.choice(DOING_TO))
    return [word for _ in range(rng.randint(*SENTENCES)) for word in _sentence(rng, cast)]


def _sentence(rng: random.Random, cast: _Cast) -> list[str]:
    subject, plural = _subject(rng, cast, depth=0)
    return [*subject, _verb(rng.choice(cast.doing), plural), "."]


def _subject(rng: random.Random, cast: _Cast, depth: int) -> tuple[list[str], bool]:
    """A noun with all that is said of it, and whether it is plural."""
    plural = rng.random() < 0.5
    noun = ["the", cast.noun + "s" * plural]
    if rng.random() < PLAIN[depth]:
        return noun, plural
    other, others = _subject(rng, cast, depth + 1)
    if rng.random() < 0.5:
        return [*noun, "near", *other], plural
    return [*noun, "that", *other, _verb(cast.doing_to, others)], plural


def _verb(verb: str, plural: bool) -> str:
    return verb if plural else f"{verb}s"
