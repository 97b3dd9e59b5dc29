from collections import Counter

import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from mpcore.data.generated.reviews import NEGATED, NEGATIONS, NEGATIVE, POSITIVE, Style, reviews, vocabulary
from mpcore.workloads.bert_imdb import LENGTH, BertImdb, style

ROWS = BertImdb.rows
EASY = style("tiny", "train")


@pytest.fixture(scope="module")
def train():
    return reviews(ROWS["tiny"]["train"], 0, EASY)


@pytest.fixture(scope="module")
def test():
    return reviews(ROWS["tiny"]["test"], 1, EASY)


def test_the_seed_decides_the_texts():
    assert reviews(20, 3, Style(neutral=2, telling=1)).to_dict() == reviews(20, 3, Style(neutral=2, telling=1)).to_dict()


def test_another_seed_makes_other_texts():
    assert reviews(20, 3, Style(neutral=2, telling=1))["text"][:] != reviews(20, 4, Style(neutral=2, telling=1))["text"][:]


@pytest.mark.parametrize("rows", [2, 100, 1600])
def test_labels_are_balanced(rows):
    assert Counter(reviews(rows, 0, EASY)["label"][:]) == {0: rows // 2, 1: rows // 2}


def test_labels_are_in_no_order(train):
    first_half = train["label"][: len(train) // 2]
    assert 0.4 < sum(first_half) / len(first_half) < 0.6


@pytest.mark.parametrize("clauses", [0, 1, 5])
def test_each_review_has_one_clause_more_than_asked_for(clauses):
    for text in reviews(20, 0, Style(neutral=clauses, telling=1))["text"][:]:
        # a neutral clause may hold an "and" of its own
        assert len(text.replace("minutes and was", "").split(" and ")) == clauses + 1


def test_a_negation_turns_the_label_round():
    opinions = reviews(1000, 0, Style(neutral=0, telling=1))
    negated = 0
    for text, label in zip(opinions["text"][:], opinions["label"][:], strict=True):
        *_, before, adjective = text.split()
        assert adjective in (POSITIVE if (label == 1) != (before in NEGATIONS) else NEGATIVE)
        negated += before in NEGATIONS
    assert negated / len(opinions) == pytest.approx(NEGATED, abs=0.06)


def test_a_bag_of_words_does_not_solve_it(train, test):
    counts = CountVectorizer().fit(train["text"][:])
    model = LogisticRegression(max_iter=1000).fit(counts.transform(train["text"][:]), train["label"][:])
    accuracy = model.score(counts.transform(test["text"][:]), test["label"][:])
    assert 0.5 < accuracy < 0.75


def test_test_reviews_are_not_those_trained_on(train, test):
    known = set(train["text"][:])
    assert sum(text in known for text in test["text"][:]) < 0.05 * len(test)


def test_every_word_is_in_the_vocabulary(train, test):
    words = {word for text in [*train["text"][:], *test["text"][:]] for word in text.split()}
    assert words <= set(vocabulary())


def test_the_vocabulary_is_in_order_and_holds_nothing_else():
    words = {word for text in reviews(5000, 2, Style(neutral=3, telling=1))["text"][:] for word in text.split()}
    assert vocabulary() == sorted(words)


def test_a_review_fits_the_length_it_is_cut_to(train, test):
    # with [CLS] and [SEP]; a label that was cut off could not be learnt
    assert max(len(text.split()) for text in [*train["text"][:], *test["text"][:]]) + 2 <= LENGTH["tiny"]


def linear(rows):
    """The accuracy of a linear model of a bag of words."""
    train, test = reviews(rows, 0, style("full", "train"))[:], reviews(2000, 1, style("full", "test"))[:]
    counts = CountVectorizer().fit(train["text"])
    model = LogisticRegression(C=0.1, max_iter=1000).fit(counts.transform(train["text"]), train["label"])
    return model.score(counts.transform(test["text"]), test["label"])


def test_clauses_that_disagree_leave_something_to_learn_and_to_lose():
    """The more reviews are learnt from, the more are told; and none learns to tell all."""
    few, many = linear(10), linear(1600)
    assert 0.7 < few < many - 0.02
    assert many < 0.93


def test_who_knows_all_adjectives_is_right_about_nine_reviews_in_ten():
    texts, labels = (reviews(2000, 1, style("full", "test"))[:][name] for name in ("text", "label"))
    better = [sum((word in POSITIVE) - (word in NEGATIVE) for word in text.split()) for text in texts]
    right = [(sign > 0) == label for sign, label in zip(better, labels, strict=True) if sign]
    assert 0.88 < sum(right) / len(right) < 0.95


def test_later_adjectives_are_rarer():
    words = Counter(word for text in reviews(400, 0, style("full", "train"))["text"][:] for word in text.split())
    assert words[POSITIVE[0]] > 2 * words[POSITIVE[9]] > 2 * words[POSITIVE[39]] > 0
    assert len(set(POSITIVE)) == len(set(NEGATIVE)) == len(POSITIVE)
    assert not set(POSITIVE) & set(NEGATIVE)
