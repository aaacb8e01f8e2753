"""Text out of a model, token by token: read the prompts once, then ask for the next token, again and again."""

import codecs
import random
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from gpt.errors import UserError
from gpt.fast.decoder import Decoder
from gpt.model import GPT
from gpt.sampling import Sampling, draw, penalise, probabilities
from gpt.tokenizer import Tokenizer


class Choice(NamedTuple):
    """A token, and how likely the model found it: before temperature and all that follows it, in nats."""

    token: int
    logprob: float | None = None  # None where it was not asked for
    top: tuple[tuple[int, float], ...] = ()  # the likeliest tokens and their log-probabilities, best first


class Batch:
    """Prompts that are continued side by side, each as if it were alone.

    Row i draws from its own generator, seeded with seeds[i]; what it draws does not depend on the other rows. Their
    logits differ from those of a row alone by float rounding only. Equal prompts are read once. When a row's
    context is full, its older half is forgotten and the newer half read again, from position 0: the model always
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
            check_prompt(model, prompt)
        if max_new_tokens < 0:
            raise UserError(f"the number of new tokens is {max_new_tokens}: it must be at least 0")
        self.context, self.vocab_size = model.config.context_length, model.config.vocab_size
        self.decoder = Decoder(model, min(self.context, max(map(len, prompts)) + max_new_tokens))
        self.max_new_tokens, self.sampling, self.num_top = max_new_tokens, sampling, num_top
        self.rows = list(range(len(prompts)))  # those still running
        self.windows = [list(prompt) for prompt in prompts]  # what the model sees of each
        self.generators = [random.Random(seed) for seed in seeds]
        self.seen = None  # (B, V), true for the tokens of the row's text
        if sampling.repetition_penalty != 1:
            self.seen = torch.zeros(len(prompts), self.vocab_size, dtype=torch.bool)
            for row, prompt in enumerate(prompts):
                self.seen[row, prompt] = True
            self.seen[:, -1] = False  # the end of the text before is no part of this one

    @torch.inference_mode()
    def step(self) -> dict[int, Choice]:
        """One more token for every running row: row number -> choice."""
        logits = self._logits().float().cpu()  # (B, V)
        original = logits
        if self.seen is not None:
            logits = penalise(logits, self.seen, self.sampling.repetition_penalty)
        if self.sampling.temperature == 0:
            tokens = logits.argmax(-1)  # (B,)
        else:
            tokens = draw(probabilities(logits, self.sampling), self.generators)
        if self.seen is not None:
            self.seen.scatter_(1, tokens[:, None], True)
        chosen = tokens.tolist()
        for window, token in zip(self.windows, chosen, strict=True):
            window.append(token)
        if self.num_top is None:
            choices = [Choice(token) for token in chosen]
        else:
            choices = with_logprobs(original, tokens, self.num_top)
        return dict(zip(self.rows, choices, strict=True))

    def drop(self, ended: set[int]) -> None:
        """End these rows; the others go on."""
        if not ended:
            return
        kept = [i for i, row in enumerate(self.rows) if row not in ended]
        self.rows, self.windows, self.generators = (
            [of[i] for i in kept] for of in (self.rows, self.windows, self.generators)
        )
        if kept:
            self.decoder.select(kept)
            self.seen = None if self.seen is None else self.seen[kept]

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


def generate(
    model: GPT,
    tokens: list[int],
    max_new_tokens: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    repetition_penalty: float = 1.0,
    seed: int = 0,
    stop: int | None = None,
) -> Iterator[int]:
    """Continue one prompt, giving each new token as soon as it is chosen; ends after `max_new_tokens`, or at `stop`.

    The same arguments give the same tokens on the same machine. Raises UserError as Batch and Sampling do.
    """
    sampling = Sampling(temperature, top_k, top_p, min_p, repetition_penalty)
    batch = Batch(model, [tokens], [seed], max_new_tokens, sampling)
    for _ in range(max_new_tokens):
        token = batch.step()[0].token
        if token == stop:
            return
        yield token


def generate_text(batch: Batch, tokenizer: Tokenizer, stop: tuple[str, ...] = ()) -> Iterator[tuple[int, str, Choice]]:
    """Run a batch, giving (row, text, choice) for every token: the text is what can be shown because of it, often
    its own, sometimes none. A row ends at the end-of-text token, before a stop string, or after max_new_tokens."""
    streams = {row: TextStream(tokenizer, stop) for row in batch.rows}
    for i in range(batch.max_new_tokens):
        ended = set()
        for row, choice in batch.step().items():
            stream = streams[row]
            at_end = choice.token == tokenizer.end_of_text
            text = "" if at_end else stream.push(choice.token)
            if at_end or stream.stopped or i == batch.max_new_tokens - 1:
                ended.add(row)
                text += stream.close()
            yield row, text, choice
        batch.drop(ended)
        if not batch.rows:
            return


class TextStream:
    """Tokens to text that is safe to show: whole characters only, and nothing of a stop string.

    Bytes of an unfinished character wait for the rest of it; text that could be the beginning of a stop string
    waits until it is clear that it is not.
    """

    def __init__(self, tokenizer: Tokenizer, stop: tuple[str, ...] = ()):
        if "" in stop:
            raise UserError("a stop string is empty: it would end every text before it begins")
        self.tokenizer, self.stop = tokenizer, stop
        self.utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self.held = ""
        self.stopped = False  # whether a stop string has come

    def push(self, token: int) -> str:
        """The text that can be shown now."""
        self.held += self.utf8.decode(self.tokenizer.decode_bytes([token]))
        found = [place for place in map(self.held.find, self.stop) if place >= 0]
        if found:
            self.stopped = True
            shown, self.held = self.held[: min(found)], ""
            return shown
        # The longest end of the text that a stop string begins with.
        waiting = max(
            (n for stop in self.stop for n in range(1, len(stop)) if self.held.endswith(stop[:n])),
            default=0,
        )
        cut = len(self.held) - waiting
        shown, self.held = self.held[:cut], self.held[cut:]
        return shown

    def close(self) -> str:
        """The text still held back, when no more tokens come. A character that is not finished is left out."""
        shown, self.held = self.held, ""
        return shown


@torch.inference_mode()
def score(model: GPT, tokens: list[int], num_top: int = 0) -> list[Choice]:
    """How likely each token of a text was, given those before it: one Choice for every token but the first.

    A text longer than the context is read in windows that move on by half a context, so that every token is
    judged by at least the half context before it. Raises UserError for fewer than two tokens, or unknown ones.
    """
    if len(tokens) < 2:
        raise UserError("a text to score needs at least two tokens: the first has nothing before it")
    check_vocabulary(model, tokens)
    context = model.config.context_length
    stride = max(1, context // 2)
    choices: list[Choice] = []
    start = 0
    while len(choices) < len(tokens) - 1:
        window = torch.tensor(tokens[start : start + context + 1], device=model.transformer.ln_f.weight.device)
        logits = model(window[None, :-1])[0].float()  # (T, V)
        judged = len(choices) - start  # places of this window that an earlier one has judged
        choices += with_logprobs(logits[judged:], window[1:][judged:], num_top)
        start += stride
    return choices


def with_logprobs(logits: Tensor, tokens: Tensor, num_top: int) -> list[Choice]:
    """(N, V) logits and the (N,) tokens that came: each with its log-probability and the num_top likeliest."""
    logprobs = logits.log_softmax(-1)
    chosen = logprobs.gather(-1, tokens[:, None])[:, 0].tolist()
    values, ids = logprobs.topk(min(num_top, logits.size(-1)), dim=-1)
    tops = [tuple(zip(*pair, strict=True)) for pair in zip(ids.tolist(), values.tolist(), strict=True)]
    return [Choice(*of) for of in zip(tokens.tolist(), chosen, tops, strict=True)]


def check_prompt(model: GPT, tokens: list[int]) -> None:
    """Raise UserError if a model cannot continue these tokens."""
    context = model.config.context_length
    if not tokens:
        raise UserError("the prompt is empty: the model needs at least one token to continue")
    if len(tokens) > context:
        raise UserError(f"the prompt has {len(tokens)} tokens, but the model's context holds {context}: shorten it")
    check_vocabulary(model, tokens)


def check_vocabulary(model: GPT, tokens: list[int]) -> None:
    if not 0 <= min(tokens) <= max(tokens) < model.config.vocab_size:
        raise UserError(f"token {max(tokens)} is outside the model's vocabulary of {model.config.vocab_size}")
