"""Generation: batches, the cache, the sliding window, stopping, streaming, scoring."""

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from gpt.errors import UserError
from gpt.fast.decoder import Decoder, linear
from gpt.files.checkpoint import save_model
from gpt.generate import Batch, TextStream, generate, generate_text, score
from gpt.model import GPT, GPTConfig
from gpt.sampling import Sampling
from gpt.tokenizer import Tokenizer
from tests.helpers import random_model

GREEDY = Sampling(temperature=0)
PROMPTS = [[1, 2, 3], [7] * 17, [250], [9, 8, 7, 6, 5, 4, 3, 2], [1, 2, 3]]


def run(model, prompts, seeds, n, sampling=GREEDY, num_top=None):
    """All rows' choices after n steps."""
    batch = Batch(model, prompts, seeds, n, sampling, num_top)
    rows = [[] for _ in prompts]
    for _ in range(n):
        for row, choice in batch.step().items():
            rows[row].append(choice)
    return rows


def tokens_of(choices):
    return [choice.token for choice in choices]


def test_the_decoder_gives_the_logits_of_the_model(model):
    tokens = torch.randint(0, 300, (2, 32), generator=torch.Generator().manual_seed(1))
    decoder = Decoder(model, 32)
    logits = [decoder.read(tokens[:, :10].tolist())]
    logits += [decoder.step(tokens[:, t].tolist()) for t in range(10, 32)]
    torch.testing.assert_close(torch.stack(logits, 1), model(tokens)[:, 9:], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("rows", [1, 3, 40])
@pytest.mark.parametrize(
    ("inputs", "channels", "bias"), [(64, 96, True), (384, 1152, True), (384, 1001, True), (1100, 1000, False)]
)
def test_a_matrix_laid_out_anew_is_the_same_function(rows, inputs, channels, bias):
    """Of each kind: small, in blocks, of a width that does not divide into blocks, and without a bias."""
    layer, x = torch.nn.Linear(inputs, channels, bias), torch.randn(rows, inputs)
    with torch.inference_mode():
        torch.testing.assert_close(linear(layer)(x), layer(x), atol=1e-4, rtol=1e-4)


def test_rows_of_different_lengths_have_the_logits_of_each_alone(model):
    decoder = Decoder(model, 32)
    texts = [list(prompt) for prompt in PROMPTS]
    logits = decoder.read(texts)
    for step in range(15):
        for text, row in zip(texts, logits, strict=True):
            torch.testing.assert_close(row, model(torch.tensor([text]))[0, -1], atol=1e-4, rtol=1e-4)
        new = [(step * 37 + i) % 300 for i in range(len(texts))]
        for text, token in zip(texts, new, strict=True):
            text.append(token)
        logits = decoder.step(new)


def test_selected_rows_go_on_as_if_nothing_had_happened(model):
    decoder = Decoder(model, 32)
    decoder.read([list(prompt) for prompt in PROMPTS])
    decoder.select([3, 0, 3])
    logits = decoder.step([11, 12, 13])
    for row, text in zip(logits, [[*PROMPTS[3], 11], [*PROMPTS[0], 12], [*PROMPTS[3], 13]], strict=True):
        torch.testing.assert_close(row, model(torch.tensor([text]))[0, -1], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("sampling", [GREEDY, Sampling(0.8, top_k=50), Sampling(1.0, repetition_penalty=1.3)])
def test_a_batch_of_unequal_prompts_gives_what_each_gives_alone(model, sampling):
    """60 new tokens in a context of 32: every row's window slides, each at its own time."""
    seeds = [3, 1, 4, 1, 5]
    together = run(model, PROMPTS, seeds, 60, sampling)
    for prompt, seed, choices in zip(PROMPTS, seeds, together, strict=True):
        assert tokens_of(choices) == tokens_of(run(model, [prompt], [seed], 60, sampling)[0])


def test_dropping_rows_does_not_disturb_the_others(model):
    sampling = Sampling(1.0)
    alone = [tokens_of(run(model, [prompt], [i], 60, sampling)[0]) for i, prompt in enumerate(PROMPTS)]
    batch = Batch(model, PROMPTS, list(range(5)), 60, sampling)
    rows = [[] for _ in PROMPTS]
    for step in range(60):
        for row, choice in batch.step().items():
            rows[row].append(choice.token)
        batch.drop({1} if step == 5 else {0, 3} if step == 20 else set())
    assert rows[1] == alone[1][:6] and rows[0] == alone[0][:21] and rows[3] == alone[3][:21]
    assert rows[2] == alone[2] and rows[4] == alone[4]


def test_past_the_context_the_newer_half_is_read_again(model):
    """The documented meaning, computed the slow way: a full pass over the window for every token."""
    window, expected = [5, 6, 7], []
    for _ in range(100):
        if len(window) > 32:
            window = window[-16:]
        with torch.no_grad():
            token = model(torch.tensor([window]))[0, -1].argmax().item()
        window.append(token)
        expected.append(token)
    assert list(generate(model, [5, 6, 7], 100, temperature=0)) == expected


def test_a_prompt_that_fills_the_context_can_be_continued(model):
    assert len(list(generate(model, list(range(32)), 5))) == 5


def test_a_context_of_one_token_works():
    torch.manual_seed(0)
    model = GPT(GPTConfig(50, context_length=1, n_layer=1, n_head=1, n_embd=8)).eval()
    assert len(list(generate(model, [3], 10))) == 10


def test_greedy_text_is_that_of_transformers(model, tmp_path):
    tokenizer = Tokenizer.train(["ab " * 100], 300)
    save_model(model, tokenizer, tmp_path)
    peer = AutoModelForCausalLM.from_pretrained(tmp_path)
    theirs = peer.generate(
        torch.tensor([PROMPTS[3]]), max_new_tokens=24, do_sample=False, eos_token_id=None, pad_token_id=0
    )
    assert list(generate(model, PROMPTS[3], 24, temperature=0)) == theirs[0, 8:].tolist()


def test_the_same_seed_gives_the_same_text_and_another_seed_another(model):
    texts = [list(generate(model, [1], 30, seed=seed)) for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_samples_of_one_prompt_share_its_reading(model, monkeypatch):
    read = []
    original = Decoder.read
    monkeypatch.setattr(Decoder, "read", lambda self, texts: read.append(texts) or original(self, texts))
    rows = run(model, [[1, 2, 3]] * 4 + [[4]], [0, 1, 2, 0, 0], 10, Sampling(1.0))
    assert read == [[[1, 2, 3], [4]]]
    assert tokens_of(rows[0]) == tokens_of(rows[3]) != tokens_of(rows[1])


def test_generation_ends_at_the_stop_token_without_giving_it(model):
    free = list(generate(model, [1, 2, 3], 30, seed=2))
    stop = free[20]
    assert list(generate(model, [1, 2, 3], 30, seed=2, stop=stop)) == free[: free.index(stop)]


def test_logprobs_are_those_of_a_full_pass_and_the_top_ones_are_the_largest(model):
    choices = run(model, [[1, 2, 3]], [0], 10, Sampling(1.5, top_k=5), num_top=4)[0]
    text = [1, 2, 3]
    for choice in choices:
        expected = model(torch.tensor([text]))[0, -1].log_softmax(-1)
        assert choice.logprob == pytest.approx(expected[choice.token].item(), abs=1e-4)
        values, tokens = expected.topk(4)
        assert [token for token, _ in choice.top] == tokens.tolist()
        assert [logprob for _, logprob in choice.top] == pytest.approx(values.tolist(), abs=1e-4)
        text.append(choice.token)


def test_scoring_gives_every_token_its_log_probability(model):
    text = list(range(20))
    logprobs = model(torch.tensor([text]))[0].log_softmax(-1)
    choices = score(model, text)
    assert [choice.token for choice in choices] == text[1:]
    expected = [logprobs[i, text[i + 1]].item() for i in range(19)]
    assert [choice.logprob for choice in choices] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("length", [2, 32, 33, 34, 49, 50, 97, 128])
def test_scoring_a_long_text_judges_each_token_once_with_half_a_context_before_it(model, length):
    text = [(i * i) % 300 for i in range(length)]
    choices = score(model, text)
    assert [choice.token for choice in choices] == text[1:]
    for place in (0, (length - 2) // 2, length - 2):  # the window: the first that reaches this place, in steps of 16
        start = max(0, -(-(place + 1 - 32) // 16) * 16)
        logits = model(torch.tensor([text[start : place + 1]]))[0, -1]
        assert choices[place].logprob == pytest.approx(logits.log_softmax(-1)[text[place + 1]].item(), abs=1e-4)


def test_scores_of_a_continuation_are_the_logprobs_it_was_made_with(model):
    choices = run(model, [[1, 2, 3]], [0], 20, Sampling(1.0), num_top=0)[0]
    scored = score(model, [1, 2, 3, *tokens_of(choices)])[2:]
    assert [c.logprob for c in choices] == pytest.approx([c.logprob for c in scored], abs=1e-4)


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
    expected = [tokens_of(row) for row in run(model, prompts, seeds, 40, Sampling(1.0))]
    stop = tokenizer.decode(expected[0][3:5])  # row 0 will end here, unless bytes there are no text
    texts = ["", ""]
    for row, text, _ in generate_text(Batch(model, prompts, seeds, 40, Sampling(1.0)), tokenizer, (stop,)):
        texts[row] += text
    for text, tokens in zip(texts, expected, strict=True):
        before_end = tokens[: tokens.index(tokenizer.end_of_text)] if tokenizer.end_of_text in tokens else tokens
        whole = tokenizer.decode(before_end).split(stop)[0]
        assert text.rstrip("\ufffd") == whole.rstrip("\ufffd")


@pytest.mark.parametrize(
    ("prompt", "message"),
    [([], "empty"), ([1] * 33, "context holds 32"), ([300], "vocabulary of 300"), ([-1], "vocabulary")],
)
def test_a_prompt_that_cannot_be_continued_is_refused(model, prompt, message):
    with pytest.raises(UserError, match=message):
        list(generate(model, prompt, 5))


def test_an_empty_stop_string_and_a_text_too_short_to_score_are_refused(model, tokenizer):
    with pytest.raises(UserError, match="stop string"):
        TextStream(tokenizer, ("",))
    with pytest.raises(UserError, match="two tokens"):
        score(model, [1])
