"""Text out of a model, token by token: read the prompt once, then ask for the next token, again and again."""

from collections.abc import Iterator

import torch
from torch import Tensor

from gpt.errors import UserError
from gpt.model import GPT, KVCache


@torch.inference_mode()
def generate(
    model: GPT,
    tokens: list[int],
    max_new_tokens: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int = 0,
    stop: int | None = None,
) -> Iterator[int]:
    """Continue `tokens`, giving each new token as soon as it is chosen; ends after `max_new_tokens`, or at `stop`.

    The same arguments give the same tokens on the same machine. When the context is full, its older half is
    forgotten and the newer half read again: the model always sees between half a context and a whole one.
    Raises UserError for an empty prompt, one that does not fit the context, and impossible settings.
    """
    context = model.config.context_length
    if not tokens:
        raise UserError("the prompt is empty: the model needs at least one token to continue")
    if len(tokens) > context:
        raise UserError(f"the prompt has {len(tokens)} tokens, but the model's context holds {context}: shorten it")
    if max(tokens) >= model.config.vocab_size:
        raise UserError(f"token {max(tokens)} is outside the model's vocabulary of {model.config.vocab_size}")
    if max_new_tokens < 0:
        raise UserError(f"the number of new tokens is {max_new_tokens}: it must be at least 0")
    check_sampling(temperature, top_k, top_p)
    weight = model.lm_head.weight
    generator = torch.Generator().manual_seed(seed)
    seen = list(tokens)
    unread = list(tokens)
    cache = KVCache(model.config, 1, min(context, len(tokens) + max_new_tokens), like=weight)
    for _ in range(max_new_tokens):
        if cache.length + len(unread) > context:
            unread = seen[-max(1, context // 2) :]
            cache.length = 0
        hidden = model.transformer(torch.tensor([unread], device=weight.device), cache)  # (1, T, C)
        logits = model.lm_head(hidden[0, -1])  # (V,): only the last place says what comes next
        token = choose(logits.float().cpu(), temperature, top_k, top_p, generator)
        if token == stop:
            return
        yield token
        seen.append(token)
        unread = [token]


def check_sampling(temperature: float, top_k: int | None, top_p: float | None) -> None:
    """Raise UserError for settings from which nothing can be drawn."""
    if not 0 <= temperature < float("inf"):
        raise UserError(f"temperature is {temperature}: it must be 0 (the likeliest token) or more")
    if top_k is not None and top_k < 1:
        raise UserError(f"top-k is {top_k}: it must keep at least 1 token")
    if top_p is not None and not 0 < top_p <= 1:
        raise UserError(f"top-p is {top_p}: it must be above 0 and at most 1")


def choose(
    logits: Tensor, temperature: float, top_k: int | None, top_p: float | None, generator: torch.Generator
) -> int:
    """Draw a token from (V,) logits. A low temperature favours the likely ones, 0 takes the likeliest; top_k keeps
    the k likeliest; top_p keeps the fewest that together reach probability p (Holtzman et al. 2020)."""
    if temperature == 0:
        return int(logits.argmax())
    logits = (logits - logits.max()) / temperature  # the shift changes no probability, and keeps a tiny one finite
    if top_k is not None and top_k < len(logits):
        likeliest = logits.topk(top_k).indices
        logits = torch.full_like(logits, float("-inf")).scatter(0, likeliest, logits[likeliest])
    probabilities = logits.softmax(-1)
    if top_p is not None:
        likeliest_first, order = probabilities.sort(descending=True, stable=True)
        before = likeliest_first.cumsum(-1) - likeliest_first  # what the likelier ones reach without this one
        probabilities[order[before >= top_p]] = 0
    return int(torch.multinomial(probabilities, 1, generator=generator))
