"""The judge's verdict sentence by sentence, for a page or a notebook that shows it beside the text."""

import math
import re
from itertools import pairwise
from typing import Any

from data.world.judge import judge, read
from data.world.reasons import reason_in_chinese
from data.world.story import LANGUAGES

SENTENCE = re.compile(r'\s*.*?(?:[.!?。！？]["”]?(?=\s|$|[^\s"”])|$)', re.DOTALL)


def language_of(text: str) -> str:
    """ "zh" for a text with Chinese characters, else "en"."""
    return "zh" if re.search("[\u4e00-\u9fff]", text) else "en"


def judge_by_sentence(text: str) -> dict[str, Any]:
    """The verdict as plain values, which JSON can hold.

    sentences: [text, whether it is right] for each; the first mistake is False, and what comes after it is None, as
    nobody can say what is true after a contradiction. bits: -log2 of the probability of the story, the end included;
    None if the world never tells it. reason_zh: the reason in Chinese.
    """
    language = language_of(text)
    readings, unreadable = read(LANGUAGES[language], text)
    end = readings[-1][1].end if readings else 0
    verdict = judge(text[:end], language)  # of what can be read: whether it is true so far
    right = len(verdict.events)
    if unreadable and right == len(readings):
        verdict = judge(text, language)
    ends = [0, *(reading.end for _, reading in readings)]
    parts = [text[start:stop] for start, stop in pairwise(ends)]
    parts += [part for part in SENTENCE.findall(text[end:]) if part.strip()]
    sentences = [[part, True if i < right else False if i == right else None] for i, part in enumerate(parts)]
    return {
        "sentences": sentences,
        "grammatical": verdict.grammatical,
        "consistent": verdict.consistent,
        "reason": verdict.reason,
        "reason_zh": reason_in_chinese(verdict.reason),
        "bits": verdict.bits if math.isfinite(verdict.bits) else None,
    }
