"""Every story in both languages, one below the other: from such text a model learns which sentences mean the same.

Half of the stories stand whole below each other, half of them sentence by sentence, where what belongs together is
near; either language may come first. This is as in the real world, where few texts are translated, but some are, in
both of these ways. Languages that share nothing but the world are hardly learned as translations of each other
("parallel text", Brown et al. 1990).
"""

import math
from collections.abc import Iterator
from itertools import pairwise

from data.world.judge import Verdict, judge, read
from data.world.recorder import Draw
from data.world.story import LANGUAGES, Story, gap_before, tell_story

BOTH = "both"


def told_twice(seed: int | str = 1, start: int = 0, planted_bias: int = 50) -> Iterator[Story]:
    """An endless iterator of stories in English and Chinese. Number i has the same events as stories(seed) number i.

    The bits are exact: what happens is chosen once, the words twice, and two choices are about the order.
    """
    number = start
    while True:
        tellings = {language: Draw(f"{seed} {number} {language}") for language in LANGUAGES}
        order = Draw(f"{seed} {number} both")
        told = []
        for language, spoken in LANGUAGES.items():
            events = Draw(f"{seed} {number} events")  # the same choices again
            told.append((language, tell_story(spoken, events, tellings[language], planted_bias)))
        if order.choose([True, False]):
            told.reverse()
        whole = order.choose([True, False])
        parts = [[story.text] if whole else sentences_of(story.text, language) for language, story in told]
        text = "\n".join(line for pair in zip(*parts, strict=True) for line in pair)
        bits = events.bits + order.bits + sum(telling.bits for telling in tellings.values())
        yield Story(text, bits, told[0][1].sentences)
        number += 1


def sentences_of(text: str, language: str) -> list[str]:
    """The sentences of a story, one for each event; a question and its answer are one."""
    starts = [start for start, _ in read(LANGUAGES[language], text)[0]] + [len(text)]
    return [text[start:end].strip() for start, end in pairwise(starts)]


def judge_both(text: str) -> Verdict:
    """The verdict on a story in both languages: each must be right by itself, and both must tell the same events."""
    told = {"en": "", "zh": ""}
    for line in text.split("\n"):
        language = "zh" if any("一" <= character <= "鿿" for character in line) else "en"
        readings = LANGUAGES[language].read(line)
        asks = any(reading.form.event.startswith("q_") for reading in readings)
        told[language] += gap_before("q_" if asks else "", LANGUAGES[language], told[language]) + line
    english, chinese = (judge(told[language], language) for language in LANGUAGES)
    first_wrong = next((verdict for verdict in (english, chinese) if not verdict.consistent), english)
    if not first_wrong.consistent:
        return first_wrong._replace(grammatical=english.grammatical and chinese.grammatical)
    if english.events != chinese.events:
        return Verdict(True, False, "the two languages tell different events", math.inf, english.events)
    return english._replace(bits=math.nan)
