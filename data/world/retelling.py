"""Tell a review again in other words: read what its writer likes and dislikes, and write a review that says the same.

This is what back-translation is meant to do (Sennrich et al. 2016): go to another language and return with other words
and the same meaning. In the toy world the meaning itself can be read, so nothing is lost on the way.
"""

import functools
import re
from typing import NamedTuple

from data.world.recorder import Draw
from data.world.review_words import WORDS
from data.world.reviews import fill, opinion, statements, tones


class Meaning(NamedTuple):
    language: str
    difficulty: str
    topic: str
    sides: tuple[tuple[str, bool | None], ...]  # (side, does the writer like it?), None if it is neither good nor bad


def understand(text: str) -> Meaning | None:
    """What a review of the toy world says; None for any other text."""
    for language, difficulty in (("en", "hard"), ("zh", "hard"), ("en", "easy"), ("zh", "easy")):
        words = WORDS[language]
        for topic in words.topics:
            opening, forms = patterns(language, difficulty, topic)
            if not (start := opening.match(text)):
                continue
            for first in forms:
                one = first.match(text, start.end() + len(words.gap))
                for second in forms if one else ():
                    if one and (two := second.fullmatch(text, one.end() + len(words.gap))):
                        found = ((first, one), (second, two))
                        sides = tuple(
                            (m["side"], likes(m["word"], forms[form], words, difficulty)) for form, m in found
                        )
                        return Meaning(language, difficulty, topic, sides)
    return None


def likes(word: str, means_it: bool, words, difficulty: str) -> bool | None:
    """Does the writer of a sentence with this word like the thing? means_it: of the sentence's form."""
    good, _ = tones(words, difficulty)
    return None if word in words.middling else (word in good) == means_it


@functools.cache
def patterns(language: str, difficulty: str, topic: str) -> tuple[re.Pattern, dict[re.Pattern, bool]]:
    """(What matches an opening sentence, what matches each form of an opinion -> does the writer mean the word?)"""
    words = WORDS[language]
    opening, sides = words.topics[topic]
    slots = {"side": sides, "word": [w for tone in tones(words, difficulty) for w in tone] + words.middling}
    slots |= {"person": words.people}

    def pattern(template: str) -> str:
        def slot(match: re.Match) -> str:
            options = "|".join(sorted(map(re.escape, slots.get(match[1], ())), key=len, reverse=True))
            return f"(?P<{match[1]}>{options})" if options else "[^.。]+?"

        return re.sub(r"\\\{(\w+)\\\}", slot, re.escape(template))

    forms = {re.compile(pattern(form)): means_it for form, means_it in statements(language, difficulty)}
    return re.compile("|".join(map(pattern, opening))), forms


def retell(meaning: Meaning, chooser: Draw) -> str:
    """A review in other words that says the same. Like all training texts, it combines no form with a word that is kept
    for the test."""
    words = WORDS[meaning.language]
    sentences = [fill(chooser, chooser.choose(words.topics[meaning.topic][0]), words)]
    for side, liked in meaning.sides:
        if liked is None:
            form = chooser.choose([form for form, _ in statements(meaning.language, meaning.difficulty)])
            sentences.append(fill(chooser, form, words, side=side, word=chooser.choose(words.middling)))
        else:
            sentences.append(opinion(chooser, meaning.language, meaning.difficulty, side, liked, new=False))
    return words.gap.join(sentences)
