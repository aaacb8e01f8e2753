"""Generating many texts side by side, around one cache."""

import random
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from gpt.fast.decoder import Decoder
from gpt.fast.recorded import RecordedDecoder
from gpt.generate import Choice, check_prompt, mark_tokens, with_logprobs
from gpt.model import GPT
from gpt.sampling import Sampling, choose


def generate_with_cache(
    model: GPT, tokens: list[int], max_new_tokens: int, seed: int = 0, stop: int | None = None, **settings: Any
) -> Iterator[int]:
    """generate of gpt/generate.py, with one token's work for each token."""
    batch = Batch(model, [tokens], [seed], max_new_tokens, Sampling(**settings))
    for _ in range(max_new_tokens):
        token = batch.step()[0].token
        if token == stop:
            return
        yield token


class Batch:
    """Prompts that are continued side by side, each as if it were alone.

    Row i draws from its own generator, seeded with seeds[i]; what it draws does not depend on the other rows. Their
    logits differ from those of a row alone by float rounding only. Equal prompts are read once. When a row's
    context is full, its older half is forgotten and the newer half read again, from position 0: from then on the model
    sees between half a context and a whole one. With num_top, each choice comes with its log-probability and those
    of the num_top likeliest tokens.

    Raises UserError for an empty prompt, one that does not fit the context, or unknown tokens.
    """

    def __init__(
        self,
        model: GPT,
        prompts: list[list[int]],
        seeds: list[int],
        max_new_tokens: int,
        sampling: Sampling,
        num_top: int | None = None,
    ):
        for prompt in prompts:
            check_prompt(model, prompt, max_new_tokens)
        self.context = model.config.context_length
        device = model.transformer.ln_f.weight.device
        kind = RecordedDecoder if device.type == "cuda" else Decoder
        self.decoder = kind(model, min(self.context, max(map(len, prompts)) + max_new_tokens), len(prompts))
        self.max_new_tokens, self.sampling, self.num_top = max_new_tokens, sampling, num_top
        self.rows = list(range(len(prompts)))  # those still running
        self.windows = [list(prompt) for prompt in prompts]  # what the model sees of each
        self.generators = [random.Random(seed) for seed in seeds]
        # Tokens are chosen on a GPU if the logits are there: (64, 50257) of them take longer to fetch than to make. MPS
        # has no float64, which draw needs.
        self.chooses_on = device if device.type == "cuda" else torch.device("cpu")
        self.seen = mark_tokens(prompts, model.config.vocab_size).to(self.chooses_on)  # (B, V), of the row's text

    @torch.inference_mode()
    def step(self) -> dict[int, Choice]:
        """One more token for every running row: row number -> choice."""
        logits = self._logits().float().to(self.chooses_on)  # (B, V)
        tokens = choose(logits, self.seen, self.sampling, self.generators)  # (B,)
        if self.sampling.repetition_penalty != 1:
            self.seen.scatter_(1, tokens[:, None], True)
        chosen = tokens.tolist()
        for window, token in zip(self.windows, chosen, strict=True):
            window.append(token)
        if self.num_top is None:
            choices = [Choice(token) for token in chosen]
        else:
            choices = with_logprobs(logits, tokens, self.num_top)
        return dict(zip(self.rows, choices, strict=True))

    def drop(self, ended: set[int]) -> None:
        """End these rows; the others go on."""
        if not ended:
            return
        kept = [i for i, row in enumerate(self.rows) if row not in ended]
        self.rows = [self.rows[i] for i in kept]
        self.windows = [self.windows[i] for i in kept]
        self.generators = [self.generators[i] for i in kept]
        if kept:
            self.decoder.select(kept)
            self.seen = self.seen[kept]

    def _logits(self) -> Tensor:
        """What every row's window is followed by, (B, V)."""
        if 0 < self.decoder.length < self.decoder.capacity:
            return self.decoder.step([window[-1] for window in self.windows])
        for window in self.windows:
            if len(window) > self.context:
                del window[: -max(1, self.context // 2)]
        different = list(dict.fromkeys(map(tuple, self.windows)))
        logits = self.decoder.read([list(window) for window in different])
        if len(different) == len(self.windows):
            return logits
        origin = [different.index(tuple(window)) for window in self.windows]
        self.decoder.select(origin)
        return logits[origin]
