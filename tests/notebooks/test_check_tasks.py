"""The checks of lesson 7 know right answers, typical wrong ones, and blanks."""

import numpy as np
import pytest

from notebooks.check import tasks as check
from tests.notebooks.answers import says, solutions

RIGHT = solutions("07", np=np)
EXERCISES = {check.targets: "my_targets", check.tags: "my_tags", check.f1: "my_f1", check.search: "my_search"}


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.__name__)
def test_the_lesson_s_solution_is_right_and_a_blank_is_not_written_yet(exercise, capsys):
    assert says(capsys, exercise, RIGHT[EXERCISES[exercise]])[0]
    ok, line = says(capsys, exercise, lambda *_: None)
    assert not ok and "not written yet" in line
    ok, line = says(capsys, exercise, lambda *_: 1 / 0)
    assert not ok and "ZeroDivisionError" in line
    assert not says(capsys, exercise, lambda *_: "nonsense")[0]


@pytest.mark.parametrize(
    "wrong, hint",
    [
        (lambda ids, mine: [i if m else -100 for i, m in zip(ids, mine, strict=True)], "not shifted"),
        (lambda ids, mine: [*ids[1:], -100], "prompt's tokens are counted"),
        (lambda ids, mine: [i if m else -100 for i, m in zip(ids[1:], mine, strict=False)] + [-100], "is lost"),
        (lambda ids, mine: RIGHT["my_targets"](ids, mine)[:-1], "last item is missing"),
        (lambda ids, mine: [i for i, m in zip(ids, mine, strict=True) if m], "as long as ids"),
    ],
)
def test_wrong_targets_get_their_hint(wrong, hint, capsys):
    ok, line = says(capsys, check.targets, wrong)
    assert not ok and hint in line


def tags(words, spans, first="B-", after="I-", more=0):
    tags = ["O"] * len(words)
    for start, end, label in spans:
        for i in range(start, min(end + more, len(words))):
            tags[i] = (first if i == start else after) + label
    return tags


@pytest.mark.parametrize(
    "settings, hint",
    [
        ({"after": "B-"}, "I-, not B-"),
        ({"first": "I-"}, "two neighbours"),
        ({"more": 1}, "end is not included"),
        ({"more": -1}, "before its end"),
    ],
)
def test_wrong_tags_get_their_hint(settings, hint, capsys):
    ok, line = says(capsys, check.tags, lambda words, spans: tags(words, spans, **settings))
    assert not ok and hint in line
    ok, line = says(capsys, check.tags, lambda words, spans: tags(words, spans)[1:])
    assert not ok and "6 tags" in line
    ok, line = says(capsys, check.tags, lambda words, spans: tags(words, spans, "", ""))
    assert not ok and "B- or I- with the label" in line


def mean_f1(true, found):
    return np.mean([RIGHT["my_f1"]([t], [f]) for t, f in zip(true, found, strict=True)])


def precision(true, found):
    return sum(len(t & f) for t, f in zip(true, found, strict=True)) / max(1, sum(map(len, found)))


def divides_by_nothing(true, found):
    right, said = sum(len(t & f) for t, f in zip(true, found, strict=True)), sum(map(len, found))
    return 2 * (right / said) * (right / sum(map(len, true))) / (right / said + right / sum(map(len, true)))


@pytest.mark.parametrize(
    "wrong, hint",
    [
        (mean_f1, "do not average F1"),
        (precision, "the precision"),
        (lambda true, found: precision(found, true), "the recall"),
        (lambda true, found: (precision(true, found) + precision(found, true)) / 2, "harmonic"),
        (divides_by_nothing, "return 0"),
        (lambda true, found: RIGHT["my_f1"]([set.union(*true)], [set.union(*found)]), "text by text"),
        (lambda true, found: 3 / 7, "over union"),
    ],
)
def test_a_wrong_f1_gets_its_hint(wrong, hint, capsys):
    ok, line = says(capsys, check.f1, wrong)
    assert not ok and hint in line


def search(question, texts, idf=True, lower=True, once=True):
    split = [(text.lower() if lower else text).split() for text in texts]

    def weight(word):
        return np.log(len(texts) / sum(word in words for words in split)) if idf else 1

    asked = set((question.lower() if lower else question).split())
    scores = [sum(weight(w) * (1 if once else words.count(w)) for w in asked & set(words)) for words in split]
    return int(np.argmax(scores))


@pytest.mark.parametrize(
    "settings, hint",
    [({"idf": False}, "rare words"), ({"lower": False}, "lower-case"), ({"once": False}, "each word once")],
)
def test_a_wrong_search_gets_its_hint(settings, hint, capsys):
    ok, line = says(capsys, check.search, lambda question, texts: search(question, texts, **settings))
    assert not ok and hint in line


def test_a_text_for_its_number_is_told(capsys):
    ok, line = says(capsys, check.search, lambda question, texts: texts[0])
    assert not ok and "not the text" in line


def test_a_word_of_no_text_is_told(capsys):
    def weigh_all(question, texts):
        words = [text.lower().split() for text in texts]
        sum(len(texts) / sum(word in of_text for of_text in words) for word in question.lower().split())

    ok, line = says(capsys, check.search, weigh_all)
    assert not ok and "shared words only" in line
