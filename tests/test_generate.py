"""Generation, plain and with a cache: the sliding window, stopping, seeds; and scoring."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from gpt.errors import UserError
from gpt.fast.batch import generate_with_cache
from gpt.files.checkpoint import save_model
from gpt.generate import generate, score
from gpt.model import GPT, GPTConfig
from gpt.tokenizer import Tokenizer
from tests.helpers import PROMPTS

BOTH = pytest.mark.parametrize("go_on", [generate, generate_with_cache])


@BOTH
def test_past_the_context_the_newer_half_is_read_again(go_on, model):
    """The documented meaning, computed the slow way: a full pass over the window for every token."""
    window, expected = [5, 6, 7], []
    for _ in range(100):
        if len(window) > 32:
            window = window[-16:]
        with torch.no_grad():
            token = model(torch.tensor([window]))[0, -1].argmax().item()
        window.append(token)
        expected.append(token)
    assert list(go_on(model, [5, 6, 7], 100, temperature=0)) == expected


@BOTH
def test_a_prompt_that_fills_the_context_can_be_continued(go_on, model):
    assert len(list(go_on(model, list(range(32)), 5))) == 5


@BOTH
def test_a_context_of_one_token_works(go_on):
    torch.manual_seed(0)
    model = GPT(GPTConfig(50, context_length=1, n_layer=1, n_head=1, n_embd=8)).eval()
    assert len(list(go_on(model, [3], 10))) == 10


@BOTH
def test_greedy_text_is_that_of_transformers(go_on, model, tmp_path):
    tokenizer = Tokenizer.train(["ab " * 100], 300)
    save_model(model, tokenizer, tmp_path)
    peer = AutoModelForCausalLM.from_pretrained(tmp_path)
    theirs = peer.generate(
        torch.tensor([PROMPTS[3]]), max_new_tokens=24, do_sample=False, eos_token_id=None, pad_token_id=0
    )
    assert list(go_on(model, PROMPTS[3], 24, temperature=0)) == theirs[0, 8:].tolist()


@BOTH
def test_the_same_seed_gives_the_same_text_and_another_seed_another(go_on, model):
    texts = [list(go_on(model, [1], 30, seed=seed)) for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


@BOTH
def test_generation_ends_at_the_stop_token_without_giving_it(go_on, model):
    free = list(go_on(model, [1, 2, 3], 30, seed=2))
    stop = free[20]
    assert list(go_on(model, [1, 2, 3], 30, seed=2, stop=stop)) == free[: free.index(stop)]


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": 0},
        {},
        {"temperature": 0.7, "top_k": 20},
        {"top_p": 0.8, "repetition_penalty": 1.4},
        {"min_p": 0.1},
    ],
    ids=str,
)
def test_the_cache_gives_the_plain_text_token_for_token(model, settings):
    """100 new tokens in a context of 32: the window slides five times."""
    for seed in range(1 if settings.get("temperature") == 0 else 2):
        plain = list(generate(model, PROMPTS[3], 100, seed, **settings))
        assert list(generate_with_cache(model, PROMPTS[3], 100, seed, **settings)) == plain


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


@BOTH
@pytest.mark.parametrize(
    ("prompt", "message"),
    [([], "empty"), ([1] * 33, "context holds 32"), ([300], "token 300 is outside"), ([5, -1], "token -1 is outside")],
)
def test_a_prompt_that_cannot_be_continued_is_refused(go_on, model, prompt, message):
    with pytest.raises(UserError, match=message):
        list(go_on(model, prompt, 5))


def test_a_text_too_short_to_score_is_refused(model):
    with pytest.raises(UserError, match="two tokens"):
        score(model, [1])
