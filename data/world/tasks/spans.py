"""Entities: where a story names persons, places and things (spans with three labels, as in CoNLL-2003; Tjong Kim Sang
and De Meulder 2003).

Why a list of words does not solve it. One name, place and thing in five is labelled in the test alone: no story of
training or validation has such a word, each story of the test has at least two. So a word that was never labelled must
be known by what the sentence says of it. Its form is no help: what somebody has looks like a sight on the way ("a red
robot", "a rowing boat"), a job, a kind of animal or a spot. Chinese has no capitals and no spaces, and 小 begins names,
animals, things and adjectives (小美, 小狐狸, 小船, 小小的). Some words are an entity in one sentence and not in
another: a coat is a thing, but not in "went home to fetch a coat"; a clock is one, but not in "o'clock"; 饼干 is one,
but 烤饼干 is a game.
"""

import re
from collections.abc import Iterator
from functools import cache

from data.world.judge import read
from data.world.people import ELDERS, NAMES
from data.world.places import PLACES
from data.world.story import LANGUAGES
from data.world.tasks.told import told_for
from data.world.telling import AGREEING
from data.world.things import NOUNS

LABEL_OF = {"name": "PERSON", "who": "PERSON", "to": "PERSON", "elder": "PERSON"}  # by the argument of an event
LABEL_OF |= {"place": "PLACE", "noun": "THING", "thing": "THING"}
WORDS = {"PERSON": NAMES | ELDERS, "PLACE": PLACES, "THING": NOUNS}
ONE_IN = 5  # one word in this many is labelled in the test alone
NEW_WORDS = 2  # and a story of the test has at least so many of them
HELD_OUT = {word for words in WORDS.values() for i, word in enumerate(words) if i % ONE_IN == ONE_IN - 1}


def entity_rows(split: str, seed: int, language: str) -> Iterator[dict]:
    """Endless rows {"text": story, "spans": [[start, end, label], ...]}: offsets in characters, from left to right."""
    for told in told_for(split, seed, language):
        new = HELD_OUT.intersection(word for _, arguments in told.events for word in arguments)
        if len(new) >= NEW_WORDS if split == "test" else not new:
            yield {"text": told.text, "spans": entities(told.text, language)}


def entities(text: str, language: str) -> list[list]:
    """Each mention of a person, place or thing in the sentences of a story, also inside speech; no pronouns."""
    found = []
    for start, reading in read(LANGUAGES[language], text)[0]:
        groups = compiled(reading.form.pattern).match(text, start)
        for number, (slot, meaning) in enumerate(zip(reading.form.slots, reading.meanings, strict=True), 1):
            label = LABEL_OF.get(slot.argument)
            word = meaning[-1] if isinstance(meaning, tuple) else meaning  # (how, adjective, noun) for a thing
            if slot.style not in AGREEING and label and word in WORDS[label]:
                mention = mention_of(word, label, language)
                # the group may also have an article or an adjective before the word, and 里 or 上 after a place
                first = groups.start(number) + groups[number].rindex(mention)
                found.append([first, first + len(mention), label])
    return found


def mention_of(word: str, label: str, language: str) -> str:
    """The text that is marked: "kitchen" for "the kitchen"."""
    return word.removeprefix("the ") if language == "en" else WORDS[label][word]


@cache
def compiled(pattern: str) -> re.Pattern:
    return re.compile(pattern)
