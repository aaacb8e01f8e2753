"""Reviews of films, meals, toys and places with a true label: negative, neutral or positive.

A review judges two sides of a thing (a film's story and its music). It is positive if the writer likes both, negative
if the writer likes neither, and neutral otherwise. `easy` says this in plain words. `hard` says what the writer felt,
with words that the stories use too. Each of its sentence forms has a twin with the same word and the opposite meaning:
what somebody wrongly expected, what was true at first but not in the end, what everyone else felt. A word is meant
twice as often as its opposite. So counting words, or pairs of words, gets nearly half of the reviews wrong, although
their meaning is clear. (The idea of such contrast sets: Gardner et al. 2020, "Evaluating models' local decision
boundaries via contrast sets".)
"""

import contextlib
import csv
import random
from pathlib import Path

from tqdm import tqdm

from data.world import review_words
from data.world.exchangeable import exchangeable, write_exchangeable
from data.world.people import SPECIES, TRAITS
from data.world.places import PLACES
from data.world.recorder import Draw
from gpt.files.atomic import atomic_write, make_folder

LABELS = ("negative", "neutral", "positive")
TOPICS = ("film", "meal", "toy", "place")  # what a review can be about
LIKES = {"negative": [(False, False)], "neutral": [(True, False), (False, True)], "positive": [(True, True)]}
STRAIGHT = (2, 1)  # on `hard`, a word is meant twice as often as its opposite
HELD_OUT = 5  # for each form, one word in this many occurs only in the test


def statements(language, difficulty):
    """All sentence forms: (template, does the writer mean the word?)."""
    words = review_words.WORDS[language]
    return words.plain if difficulty == "easy" else words.twins


def tones(words, difficulty):
    """-> (positive words, negative words)"""
    return (words.good, words.bad) if difficulty == "easy" else (words.happy, words.unhappy)


def is_held_out(form, word):
    """Do this form and its twin occur with this word only in the test? (`form` and `word` are indices.)"""
    return form // 2 % HELD_OUT == word % HELD_OUT


def make_review(chooser, language, difficulty, label, in_test, topics=TOPICS):
    """The text of one review. In the test, its first statement has a form and a word that training never combines."""
    words = review_words.WORDS[language]
    topic = chooser.choose(list(topics))
    opening, sides = words.topics[topic]
    first = chooser.choose(sides)
    second = chooser.choose([side for side in sides if side != first])
    sentences = [fill(chooser, chooser.choose(opening), words)]
    for number, (side, likes) in enumerate(zip((first, second), chooser.choose(LIKES[label]), strict=True)):
        if difficulty == "easy" and label == "neutral" and chooser.choose([True, False]):
            forms = statements(language, difficulty)
            form, word = chooser.choose(range(len(forms))), chooser.choose(words.middling)
            sentences.append(fill(chooser, forms[form][0], words, side=side, word=word))
        else:
            sentences.append(opinion(chooser, language, difficulty, side, likes, in_test and number == 0))
    return words.gap.join(sentences)


def opinion(chooser, language, difficulty, side, likes, new):
    """A sentence that says whether the writer likes one side. `new`: form and word are combined in the test alone."""
    words, forms = review_words.WORDS[language], statements(language, difficulty)
    straight = difficulty == "easy" or chooser.weigh([True, False], STRAIGHT)
    form = chooser.choose([i for i, (_, means_it) in enumerate(forms) if means_it == straight])
    vocabulary = tones(words, difficulty)[0 if likes == straight else 1]
    word = chooser.choose([w for i, w in enumerate(vocabulary) if is_held_out(form, i) == new])
    return fill(chooser, forms[form][0], words, side=side, word=word)


def fill(chooser, template, words, **known):
    """Put words into a template: the known ones, and drawn ones for all other slots."""
    if "{person}" in template:
        known["person"] = chooser.choose(words.people)
    for name, options in (("trait", TRAITS), ("species", SPECIES), ("place", PLACES)):
        if f"{{{name}}}" in template:
            english = chooser.choose(list(options))
            known[name] = english if words is review_words.WORDS["en"] else options[english]
    for name in ("dish", "toy", "company", "day"):
        if f"{{{name}}}" in template:
            known[name] = chooser.choose(getattr(words, name))
    text = template.format(**known)
    return text[:1].upper() + text[1:]


def write_reviews(
    out: Path, count: int, difficulty: str, seed: int, language: str, topics: tuple[str, ...] = TOPICS
) -> dict[str, int]:
    """Write train.csv, val.csv and test.csv (`text,label`) to the folder `out`; no text occurs twice. Beside them,
    synonyms.txt holds words that may stand for each other.

    -> {"train": number of reviews, "val": ..., "test": ...}. The counts of the three labels in a split differ by at
    most one.
    """
    sizes = {"train": count - 2 * (count // 10), "val": count // 10, "test": count // 10}
    seen = set()
    make_folder(out)
    with contextlib.ExitStack() as stack:  # interrupted, it leaves nothing half done
        bar = stack.enter_context(tqdm(total=count, unit=" reviews", leave=False))
        # The last to be entered is the first to be put in place: if train.csv exists, so do the others.
        temporary = {split: stack.enter_context(atomic_write(out / f"{split}.csv")) for split in sizes}
        for split, size in sizes.items():
            key = f"{seed} reviews {language} {difficulty} {split}"
            chooser = Draw(key)
            with temporary[split].open("w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(["text", "label"])
                for label in shuffled_labels(key, size):
                    text = make_review(chooser, language, difficulty, label, split == "test", topics)
                    while text in seen:
                        text = make_review(chooser, language, difficulty, label, split == "test", topics)
                    seen.add(text)
                    writer.writerow([text, label])
                    bar.update(1)
    write_exchangeable(out, exchangeable(language, tones(review_words.WORDS[language], difficulty), HELD_OUT))
    return sizes


def shuffled_labels(key, size):
    """Each label equally often, in random order."""
    draw = random.Random(key).random
    numbers = sorted((draw(), number) for number in range(size))
    return [LABELS[number % 3] for _, number in numbers]
