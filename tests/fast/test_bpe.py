"""Training BPE with a heap: the tokens of the plain count of all neighbours."""

import gc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.world.story import stories
from gpt.fast.bpe import train_bpe_with_heap
from gpt.tokenizer import train_bpe


@pytest.fixture(scope="module")
def chinese() -> str:
    """A third of a megabyte of Chinese: stories of the toy world."""
    lines, size = [], 0
    for story in stories(1, "zh"):
        lines.append(story.text + "\n")
        size += len(lines[-1].encode())  # only the new line: the whole text again would take as long as the stories
        if size > 333_000:
            break
    return "".join(lines)


@pytest.mark.parametrize("language", ["english", "chinese"])
def test_a_third_of_a_megabyte_gives_the_plain_tokens(language, python_source, request):
    text = python_source[:333_000] if language == "english" else request.getfixturevalue("chinese")
    tokens = train_bpe([text], 257 + 30)
    assert len(tokens) == 30
    assert train_bpe_with_heap([text], 257 + 30) == tokens


def test_thousands_of_merges_give_the_plain_tokens(python_source, chinese):
    """Less text and more merges, down to neighbours that were seen only twice."""
    texts = [python_source[:9_000], chinese[:1_500]]
    tokens = train_bpe(texts, 100_000)
    assert len(tokens) > 1_000
    assert train_bpe_with_heap(texts, 100_000) == tokens


@settings(max_examples=100, deadline=None)
@given(words=st.lists(st.text("aab", min_size=1, max_size=12), min_size=1, max_size=30), size=st.integers(257, 290))
def test_few_letters_give_the_plain_tokens(words, size):
    """Where two pairs often spell one token ("ab" + "a", "a" + "ba")."""
    assert train_bpe_with_heap([" ".join(words)], size) == train_bpe([" ".join(words)], size)


def test_the_garbage_collector_is_left_as_it_was():
    assert gc.isenabled()
    train_bpe_with_heap(["a a a"], 260)
    assert gc.isenabled()
    gc.disable()
    try:
        train_bpe_with_heap(["a a a"], 260)
        assert not gc.isenabled()
    finally:
        gc.enable()
