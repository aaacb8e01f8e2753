"""The reviews: true labels that cannot be had by counting words."""

import csv
import functools
import re
from collections import Counter

import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from data.world.people import FEELINGS
from data.world.review_words import WORDS
from data.world.reviews import LABELS, is_held_out, statements, tones, write_reviews

KINDS = [(language, difficulty) for language in ("en", "zh") for difficulty in ("easy", "hard")]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folders = {}
    for language, difficulty in KINDS:
        folders[language, difficulty] = tmp_path_factory.mktemp(f"{language}-{difficulty}")
        write_reviews(folders[language, difficulty], 10_000, difficulty, 1, language)
    return folders


def rows(folder, split):
    with (folder / f"{split}.csv").open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["text", "label"]
    return [text for text, _ in rows], [label for _, label in rows]


def tfidf_accuracy(folder, language, split):
    """Chinese has no spaces between words: there, characters and pairs of them are counted."""
    texts, labels = rows(folder, "train")
    counter = TfidfVectorizer(ngram_range=(1, 2), analyzer="word" if language == "en" else "char")
    model = LogisticRegression(max_iter=1000).fit(counter.fit_transform(texts), labels)
    texts, labels = rows(folder, split)
    return model.score(counter.transform(texts), labels)


def opinions(text, language, difficulty):
    """What a reader understands: does the writer like each side? (None: neither likes nor dislikes it.)

    Also the numbers of the form and the word, to see which pairs were kept for the test.
    """
    found = []
    for number, pattern, tone, lists, means_it in patterns(language, difficulty):
        for match in pattern.finditer(text):
            word = match["word"]
            likes = None if tone[word] is None else tone[word] == means_it
            numbers = [list_.index(word) for list_ in lists if word in list_]
            found.append((match.start(), match.end(), likes, number, numbers))
    # "I found it dull. Later I changed my mind." also matches "I found it dull.": the longest match counts
    found = [a for a in found if not any(b[:2] != a[:2] and b[0] <= a[0] and a[1] <= b[1] for b in found)]
    return sorted(found, key=lambda opinion: opinion[:2])


@functools.cache
def patterns(language, difficulty):
    """For each form of a statement: its number, what finds it, what its words say, the words, whether it means it."""
    words, made = WORDS[language], []
    lists = tones(words, difficulty)
    tone = dict.fromkeys(lists[0], True) | dict.fromkeys(lists[1], False)
    tone |= dict.fromkeys(words.middling)
    for number, (template, means_it) in enumerate(statements(language, difficulty)):
        slots = {
            "side": r"[\w ]+?",
            "word": "(?P<word>" + "|".join(map(re.escape, tone)) + ")",
            "person": r"\w+",
        }
        pattern = re.sub(r"\\\{(\w+)\\\}", lambda match: slots[match[1]], re.escape(template))  # noqa: B023
        if pattern.startswith(slots["side"]):
            pattern = pattern if language == "zh" else r"(?<=\. )" + pattern
        made.append((number, re.compile(pattern), tone, lists, means_it))
    return made


@pytest.mark.parametrize("language, difficulty", KINDS)
def test_a_reader_finds_the_same_label(folders, language, difficulty):
    for split in ("train", "test"):
        for text, label in list(zip(*rows(folders[language, difficulty], split), strict=True))[:700]:
            likes = [opinion[2] for opinion in opinions(text, language, difficulty)]
            assert len(likes) == 2, text
            liked, disliked = likes.count(True), likes.count(False)
            if difficulty == "hard" or label != "neutral":
                assert label == {(2, 0): "positive", (0, 2): "negative", (1, 1): "neutral"}[liked, disliked], text
            else:
                assert liked < 2 and disliked < 2, text


@pytest.mark.parametrize("language, difficulty", KINDS)
def test_no_review_is_there_twice(folders, language, difficulty):
    texts = [text for split in ("train", "val", "test") for text in rows(folders[language, difficulty], split)[0]]
    assert len(set(texts)) == len(texts) == 10_000


@pytest.mark.parametrize("language, difficulty", KINDS)
def test_the_labels_are_equally_frequent(folders, language, difficulty):
    for split, size in (("train", 8000), ("val", 1000), ("test", 1000)):
        counts = Counter(rows(folders[language, difficulty], split)[1])
        assert set(counts) == set(LABELS) and sum(counts.values()) == size
        assert max(counts.values()) - min(counts.values()) <= 1


@pytest.mark.parametrize("language, difficulty", KINDS)
def test_every_review_of_the_test_combines_what_training_never_did(folders, language, difficulty):
    for split in ("train", "val", "test"):
        for text, label in list(zip(*rows(folders[language, difficulty], split), strict=True))[:300]:
            if difficulty == "hard" or label != "neutral":
                first, second = opinions(text, language, difficulty)
                assert is_held_out(first[3], first[4][0]) == (split == "test")
                assert not is_held_out(second[3], second[4][0])


@pytest.mark.parametrize("language", ["en", "zh"])
def test_on_hard_a_third_of_the_words_mean_the_opposite_whatever_the_label(folders, language):
    forms = statements(language, "hard")
    meant = {label: [] for label in LABELS}
    for text, label in zip(*rows(folders[language, "hard"], "train"), strict=True):
        meant[label] += [forms[opinion[3]][1] for opinion in opinions(text, language, "hard")]
    for label in LABELS:  # of 5,333 words: four standard deviations are 138
        assert abs(meant[label].count(True) - 2 / 3 * len(meant[label])) < 138


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_feelings_of_hard_reviews_are_known_from_the_stories(language):
    feelings = {word for words in FEELINGS.values() for pair in words.items() for word in pair}
    for words in tones(WORDS[language], "hard"):
        assert len([word for word in words if word in feelings]) >= len(words) - 1


@pytest.mark.parametrize("language", ["en", "zh"])
def test_counting_words_is_enough_for_easy_and_not_for_hard(folders, language):
    assert tfidf_accuracy(folders[language, "easy"], language, "test") > 0.9
    for split in ("val", "test"):
        assert tfidf_accuracy(folders[language, "hard"], language, split) < 0.6


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        assert write_reviews(tmp_path / name, 300, "hard", 5, "en") == {"train": 240, "val": 30, "test": 30}
    write_reviews(tmp_path / "c", 300, "hard", 6, "en")
    for split in ("train", "val", "test"):
        read = [(tmp_path / name / f"{split}.csv").read_bytes() for name in "abc"]
        assert read[0] == read[1] != read[2]
