"""Text out of a model, token by token: read everything so far, choose the next token, and again.

gpt/fast/decoder.py gives the same text without reading everything again for each token, and gpt/fast/batch.py many
texts side by side.
"""

import math
import random
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gpt.errors import UserError
from gpt.model import GPT
from gpt.sampling import Sampling, choose


def generate(
    model: GPT, tokens: list[int], max_new_tokens: int, seed: int = 0, stop: int | None = None, **settings: Any
) -> Iterator[int]:
    """Continue one prompt, giving each new token as soon as it is chosen; ends after `max_new_tokens`, or at `stop`.
    The settings are Sampling's: generate(model, tokens, 100, temperature=0.8, top_k=50).

    When the context is full, its older half is forgotten; from then on the model sees between half a context and a
    whole one. The same arguments give the same tokens on the same machine. Raises UserError, at the first token, for an
    empty prompt, one that does not fit the context, or unknown tokens.
    """
    check_prompt(model, tokens, max_new_tokens)
    sampling = Sampling(**settings)
    context, device = model.config.context_length, model.transformer.ln_f.weight.device
    generator, window = random.Random(seed), list(tokens)
    seen = mark_tokens([tokens], model.config.vocab_size)  # (1, V)
    for _ in range(max_new_tokens):
        if len(window) > context:
            window = window[-max(1, context // 2) :]
        with torch.no_grad():
            logits = model(torch.tensor([window], device=device))[:, -1].float().cpu()  # (1, V): what follows the last
        token = int(choose(logits, seen, sampling, [generator]))
        if token == stop:
            return
        yield token
        window.append(token)
        seen[0, token] = True


def mark_tokens(prompts: list[list[int]], vocab_size: int) -> Tensor:
    """(B, V), true where a prompt holds a token; but not for end-of-text, which belongs to the document before it."""
    seen = torch.zeros(len(prompts), vocab_size, dtype=torch.bool)
    for row, prompt in enumerate(prompts):
        seen[row, prompt] = True
    seen[:, -1] = False
    return seen


class Choice(NamedTuple):
    """A token, and how likely the model found it: before temperature and all that follows it, in nats."""

    token: int
    logprob: float = math.nan  # where it was not asked for
    top: tuple[tuple[int, float], ...] = ()  # the likeliest tokens and their log-probabilities, best first


@torch.inference_mode()
def score(model: GPT, tokens: list[int], num_top: int = 0) -> list[Choice]:
    """How likely each token of a text was, given those before it: one Choice for every token but the first. The sum of
    their logprobs is that of the text after its first token (the chain rule).

    A text longer than the context is read in windows that move on by half a context, so that beyond the first window
    every token is judged by at least the half context before it. Raises UserError for fewer than two tokens, or unknown
    ones.
    """
    check_causal(model)
    if len(tokens) < 2:
        raise UserError("a text to score needs at least two tokens: the first has nothing before it")
    check_vocabulary(model, tokens)
    context = model.config.context_length
    choices: list[Choice] = []
    start = 0
    while len(choices) < len(tokens) - 1:
        window = torch.tensor(tokens[start : start + context + 1], device=model.transformer.ln_f.weight.device)
        logits = model(window[None, :-1])[0].float()  # (T, V)
        judged = len(choices) - start  # places of this window that an earlier one has judged
        choices += with_logprobs(logits[judged:], window[1:][judged:], num_top)
        start += max(1, context // 2)
    return choices


def with_logprobs(logits: Tensor, tokens: Tensor, num_top: int) -> list[Choice]:
    """(N, V) logits and the (N,) tokens that came: each with its log-probability and the num_top likeliest."""
    logprobs = logits.log_softmax(-1)
    chosen = logprobs.gather(-1, tokens[:, None])[:, 0].tolist()
    values, ids = logprobs.topk(min(num_top, logits.size(-1)), dim=-1)
    tops = [tuple(zip(*pair, strict=True)) for pair in zip(ids.tolist(), values.tolist(), strict=True)]
    return [Choice(*of) for of in zip(tokens.tolist(), chosen, tops, strict=True)]


def check_prompt(model: GPT, tokens: list[int], max_new_tokens: int) -> None:
    """Raise UserError if a model cannot continue these tokens by so many."""
    check_causal(model)
    context = model.config.context_length
    if not tokens:
        raise UserError("the prompt is empty: the model needs at least one token to continue")
    if len(tokens) > context:
        raise UserError(f"the prompt has {len(tokens)} tokens, but the model's context holds {context}: shorten it")
    if max_new_tokens < 0:
        raise UserError(f"the number of new tokens is {max_new_tokens}: it must be at least 0")
    check_vocabulary(model, tokens)


def check_vocabulary(model: GPT, tokens: list[int]) -> None:
    for token in tokens:
        if not 0 <= token < model.config.vocab_size:
            raise UserError(f"token {token} is outside the model's vocabulary of {model.config.vocab_size}")


def check_causal(model: GPT) -> None:
    if not model.config.causal:
        raise UserError("this masked model only fills gaps: fine-tune it, or use a causal one to write and score text")
