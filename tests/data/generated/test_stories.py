import random
from collections import Counter

import pytest

from mpcore.data.generated.stories import DOING, DOING_TO, NOUNS, SENTENCES, stories, vocabulary


@pytest.fixture(scope="module")
def sentences():
    return [sentence.split() for story in stories(50_000, 0) for sentence in story.split(" .")[:-1]]


def plural(word):
    """Of a noun or a verb."""
    return word in (*DOING, *DOING_TO, *(f"{noun}s" for noun in NOUNS))


def test_the_seed_decides_the_stories():
    assert stories(500, 3) == stories(500, 3)
    assert stories(500, 3) != stories(500, 4)


def test_nothing_else_does():
    first = stories(500, 3)
    random.seed(5)
    assert stories(500, 3) == first


@pytest.mark.parametrize("words", [1, 1000, 30_000])
def test_there_are_as_many_words_as_asked_for_and_no_story_more(words):
    lengths = [len(story.split()) for story in stories(words, 0)]
    assert sum(lengths[:-1]) < words <= sum(lengths)


def test_a_story_is_a_line_of_sentences():
    for story in stories(5000, 0):
        assert story.endswith(" .\n")
        assert story.count("\n") == 1
        assert SENTENCES[0] <= story.split().count(".") <= SENTENCES[1]


def test_the_vocabulary_is_in_order_and_holds_nothing_else():
    assert vocabulary() == sorted({word for story in stories(50_000, 2) for word in story.split()})


def test_a_verb_agrees_with_the_first_noun(sentences):
    for sentence in sentences:
        assert plural(sentence[-1]) == plural(sentence[1])


def test_agreement_reaches_over_nouns_of_the_other_number(sentences):
    """In most sentences another noun stands between, or a verb of another noun: its number is as often right as wrong."""
    far = [s for s in sentences if len(s) > 3]
    told = sum(plural(s[-1]) == plural(s[-2]) for s in far)
    assert len(far) > len(sentences) / 2
    assert 0.4 < told / len(far) < 0.6


def test_a_verb_of_a_clause_agrees_with_the_noun_of_that_clause(sentences):
    innermost = [s[2:] for s in sentences if len(s) == 7 and s[2] == "that"]
    assert len(innermost) > 100
    assert all(plural(verb) == plural(noun) for _, _, noun, verb, _ in innermost)


def test_clauses_are_nested(sentences):
    depths = Counter(sum(word in ("that", "near") for word in s) for s in sentences)
    assert set(depths) == {0, 1, 2}
    assert min(depths.values()) > 0.1 * len(sentences)


def test_a_story_is_about_one_noun():
    for story in stories(5000, 0):
        nouns = {word.removesuffix("s") for word in story.split()} & set(NOUNS)
        assert len(nouns) == 1
