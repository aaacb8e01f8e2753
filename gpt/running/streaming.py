"""Tokens as they are made, shown as text."""

import codecs
from collections.abc import Iterator
from typing import Any

from gpt.errors import UserError
from gpt.fast.batch import Batch
from gpt.generate import Choice, generate, score
from gpt.model import GPT
from gpt.tokenizer import Tokenizer

Shown = Iterator[tuple[int, str, Choice]]  # row, the text that can be shown because of a token, the token


def stream_texts(batch: Batch, tokenizer: Tokenizer, stop: tuple[str, ...] = ()) -> Shown:
    """Run a batch, giving (row, text, choice) for every token: the text is what can be shown because of it, often its
    own, sometimes none. A row ends at the end-of-text token, before a stop string, or after max_new_tokens."""
    streams = {row: TextStream(tokenizer, stop) for row in batch.rows}
    for i in range(batch.max_new_tokens):
        for row, choice in batch.step().items():
            yield row, streams[row].show(choice.token, is_last=i == batch.max_new_tokens - 1), choice
        batch.drop({row for row in batch.rows if streams[row].ended})
        if not batch.rows:
            return


def stream_texts_plainly(
    model: GPT, tokenizer: Tokenizer, prompts: list[list[int]], seeds: list[int], max_new_tokens: int,
    stop: tuple[str, ...] = (), num_top: int | None = None, **settings: Any,
) -> Shown:  # fmt: skip
    """The same by the plain `generate`, one row after the other. The settings are Sampling's."""
    context = model.config.context_length
    for row, (prompt, seed) in enumerate(zip(prompts, seeds, strict=True)):
        stream, window = TextStream(tokenizer, stop), list(prompt)  # the window is that of `generate`
        for i, token in enumerate(generate(model, prompt, max_new_tokens, seed, **settings)):
            if len(window) > context:
                window = window[-max(1, context // 2) :]
            window.append(token)
            choice = Choice(token) if num_top is None else score(model, window, num_top)[-1]
            yield row, stream.show(token, is_last=i == max_new_tokens - 1), choice
            if stream.ended:
                break


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
        self.ended = False  # whether the text has, for whatever reason

    def show(self, token: int, is_last: bool) -> str:
        """The text that can be shown because of a token, which may be the last one to come."""
        at_end = token == self.tokenizer.end_of_text
        text = "" if at_end else self.push(token)
        self.ended = at_end or self.stopped or is_last
        return text + self.close() if self.ended else text

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
