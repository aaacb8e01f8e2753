"""The judge's reasons in Chinese."""

import ast
import random
import re

import pytest

from data.world import stories
from data.world.bilingual import sentences_of
from data.world.judge import judge
from data.world.lexicon import LEXICON
from data.world.reasons import CONTRADICTIONS, KINDS, WORDS, reason_in_chinese
from tests.helpers import ROOT


def sentences_in_the_code():
    """What the world's code says is impossible, with {} for each value."""
    for path in (ROOT / "data" / "world").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Contradiction":
                message = node.args[0]
                parts = message.values if isinstance(message, ast.JoinedStr) else [message]
                yield "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in parts)


def test_whatever_the_world_says_is_impossible_has_a_translation():
    assert set(sentences_in_the_code()) == set(CONTRADICTIONS)


def test_a_word_has_one_translation():
    assert all(WORDS[english] == chinese for kind in KINDS for english, chinese in LEXICON[kind].items())


@pytest.mark.parametrize("language", ["en", "zh"])
def test_reasons_against_stories_in_disorder_are_chinese(language):
    draw, between, reasons = random.Random(0), " " if language == "en" else "", set()
    for story, _ in zip(stories(3, language), range(80), strict=False):
        parts = sentences_of(story.text, language)
        for wrong in (parts[1:], parts[:-2], draw.sample(parts, len(parts)), [*parts[:3], *parts[1:]]):
            reasons.add(judge(between.join(wrong), language).reason)
    reasons -= {""}
    assert len(reasons) > 60
    for reason in reasons:
        chinese = reason_in_chinese(reason)
        objection = chinese.rpartition("可是")[2] if " But " in reason else chinese.partition("：")[0]
        assert objection and not re.search("[A-Za-z]", objection), (reason, chinese)


def test_a_reason_keeps_the_text_and_says_the_rest_in_chinese():
    assert reason_in_chinese("sentence 7: Mia was happy. But Mia has no reason to be happy now.") == (
        "第7句：Mia was happy. 可是米娅现在没有理由高兴。"
    )
    assert reason_in_chinese("sentence 3: x But Ravi cannot move the old key: it is in the basket.") == (
        "第3句：x 可是拉维没法移动旧旧的钥匙，它在篮子里。"
    )
    assert reason_in_chinese("sentence 2 cannot be read: Bla\nBut.") == "第2句读不懂：Bla\nBut."
    assert reason_in_chinese('sentence 4: x But "he" could be Tom or Dad: the sentence before does not say.') == (
        "第4句：x 可是“他”可能是汤姆或爸爸，前一句没有说清楚。"
    )
    assert reason_in_chinese("of another kind") == "of another kind" and reason_in_chinese("") == ""
