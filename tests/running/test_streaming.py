"""Tokens as text: whole characters only, and nothing of a stop string."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpt.errors import UserError
from gpt.fast.batch import Batch
from gpt.running.streaming import TextStream, stream_texts, stream_texts_plainly
from gpt.sampling import Sampling
from gpt.tokenizer import Tokenizer
from tests.helpers import random_model, run_batch, tokens_of


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.train(["The end of the story. The end. " * 20], 300)


def push_all(stream, tokens):
    """Texts shown, until the stream stops."""
    shown = []
    for token in tokens:
        shown.append(stream.push(token))
        if stream.stopped:
            return shown
    return [*shown, stream.close()]


def test_a_stop_string_that_straddles_tokens_is_never_shown(tokenizer):
    for cut in range(1, 7):  # every way of cutting it in two
        tokens = (
            tokenizer.encode("It was. The en")
            + tokenizer.encode("The end"[:cut])
            + tokenizer.encode("The end"[cut:] + " of it")
        )
        stream = TextStream(tokenizer, ("The end",))
        assert "".join(push_all(stream, tokens)) == "It was. The en"
        assert stream.stopped


def test_the_earliest_of_several_stop_strings_counts(tokenizer):
    stream = TextStream(tokenizer, ("story", "end of"))
    assert "".join(push_all(stream, tokenizer.encode("The end of the story"))) == "The "


@settings(max_examples=200, deadline=None)
@given(text=st.text("ab猫🐱", max_size=30), stop=st.text("ab猫", min_size=1, max_size=4), seed=st.integers(0, 99))
def test_streaming_shows_exactly_what_stands_before_the_stop_string(tokenizer, text, stop, seed):
    data, rng, tokens = text.encode(), random.Random(seed), []
    while data:  # bytes cut anywhere, also within a character
        n = rng.randint(1, 3)
        tokens += tokenizer.encoding._encode_single_piece(data[:n])
        data = data[n:]
    stream = TextStream(tokenizer, (stop,))
    shown = push_all(stream, tokens)
    assert "".join(shown) == text.split(stop)[0]
    assert stream.stopped == (stop in text)
    assert not any("\ufffd" in part for part in shown)


def test_half_a_character_is_never_shown(tokenizer):
    stream = TextStream(tokenizer)
    cat = tokenizer.encode("🐱")
    assert len(cat) > 1
    assert [stream.push(token) for token in cat] == [""] * (len(cat) - 1) + ["🐱"]
    assert stream.push(cat[0]) == ""
    assert stream.close() == ""


def test_text_of_a_batch_is_that_of_the_tokens_and_rows_end_by_themselves(tokenizer):
    model = random_model("rotary", tokenizer.vocab_size)
    prompts, seeds = [[1, 2, 3], [4] * 9], [1, 2]
    expected = [tokens_of(row) for row in run_batch(model, prompts, seeds, 40, Sampling(1.0))]
    stop = tokenizer.decode(expected[0][3:5])  # row 0 will end here, unless bytes there are no text
    texts = ["", ""]
    for row, text, _ in stream_texts(Batch(model, prompts, seeds, 40, Sampling(1.0)), tokenizer, (stop,)):
        texts[row] += text
    for text, tokens in zip(texts, expected, strict=True):
        before_end = tokens[: tokens.index(tokenizer.end_of_text)] if tokenizer.end_of_text in tokens else tokens
        whole = tokenizer.decode(before_end).split(stop)[0]
        assert text.rstrip("\ufffd") == whole.rstrip("\ufffd")


def test_plain_rows_show_the_text_of_a_batch(tokenizer):
    model = random_model("rotary", tokenizer.vocab_size)
    prompts, seeds = [[1, 2, 3], [4] * 9, [7]], [1, 2, 3]
    batch = Batch(model, prompts, seeds, 40, Sampling(0.9), num_top=2)
    fast, plain = ["", "", ""], ["", "", ""]
    for row, text, _ in stream_texts(batch, tokenizer, ("e", "th")):
        fast[row] += text
    for row, text, _ in stream_texts_plainly(model, tokenizer, prompts, seeds, 40, ("e", "th"), temperature=0.9):
        plain[row] += text
    assert fast == plain


@pytest.mark.parametrize("prompt", [[1, 2, 3], [7] * 32])
def test_plain_log_probabilities_are_those_of_a_batch_past_the_context_too(tokenizer, prompt):
    model = random_model("rotary", tokenizer.vocab_size)  # its context is 32
    batch = Batch(model, [prompt], [1], 100, Sampling(0.9), num_top=2)
    fast = [choice for _, _, choice in stream_texts(batch, tokenizer)]
    rows = stream_texts_plainly(model, tokenizer, [prompt], [1], 100, num_top=2, temperature=0.9)
    plain = [choice for _, _, choice in rows]
    assert [choice.token for choice in plain] == [choice.token for choice in fast] and len(plain) > 64
    assert [choice.logprob for choice in plain] == pytest.approx([choice.logprob for choice in fast], abs=1e-3)


def test_an_empty_stop_string_is_refused(tokenizer):
    with pytest.raises(UserError, match="stop string"):
        TextStream(tokenizer, ("",))
