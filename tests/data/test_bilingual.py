"""Stories in both languages: the same events, the exact entropy, and a judge of both."""

import itertools
import math

import pytest

from data.world.bilingual import judge_both, sentences_of, told_twice
from data.world.judge import judge
from data.world.story import stories

TOLD = list(itertools.islice(told_twice(5), 60))


def test_both_languages_tell_the_events_of_the_same_story():
    for pair, english in zip(TOLD, stories(5, "en"), strict=False):
        assert pair.sentences == english.sentences
        assert judge_both(pair.text).consistent


def test_half_stand_whole_and_half_sentence_by_sentence_and_either_language_comes_first():
    shapes = {(len(told.text.split("\n")) > 6, told.text[0] < "一") for told in TOLD}
    assert len(shapes) == 4


def test_what_happens_costs_its_bits_once_and_the_words_twice():
    """By the judge's count, which knows each language's text by itself: the events are in both of its counts."""
    for number, pair in enumerate(TOLD[:20]):
        english, chinese = (next(stories(5, language, number)) for language in ("en", "zh"))
        for story, language in ((english, "en"), (chinese, "zh")):
            assert judge(story.text, language).bits == pytest.approx(story.bits)
        assert max(english.bits, chinese.bits) + 2 <= pair.bits < english.bits + chinese.bits


def test_a_story_is_cut_into_one_sentence_for_each_event():
    for story in itertools.islice(stories(6, "zh"), 20):
        parts = sentences_of(story.text, "zh")
        assert len(parts) == len(story.sentences) and "".join(parts) == story.text.replace("\n", "")


def test_different_events_are_found_out():
    english, chinese = next(stories(5, "en", 0)).text, next(stories(5, "zh", 1)).text
    verdict = judge_both(f"{english}\n{chinese}")
    assert verdict.grammatical and not verdict.consistent and "different" in verdict.reason


@pytest.mark.parametrize("text", ["", "hello", "你好", "hello\n你好", "\n\n", next(stories(5, "en")).text])
def test_any_text_gets_a_verdict(text):
    verdict = judge_both(text)
    assert not verdict.consistent and verdict.bits == math.inf


@pytest.mark.parametrize(("old", "new"), [(" morning", " evening"), ("早晨", "傍晚")])
def test_one_wrong_word_is_found_in_either_language(old, new):
    text = next(told.text for told in TOLD if old in told.text)
    assert not judge_both(text.replace(old, new, 1)).consistent
