"""The JSON that OpenAI's clients expect, made of the pieces of a request's texts.

A reply that is streamed is a row of chunks; one that is not is the same chunks added up.
"""

import codecs
import secrets
import time
from typing import Any

from gpt.generate import Choice
from gpt.serving.engine import Piece
from gpt.serving.requests import Writing
from gpt.tokenizer import Tokenizer


class Reply:
    """The JSON of one request, from pieces. Subclasses know the shapes of /v1/completions and /v1/chat/completions."""

    object_name, chunk_name, id_start = "", "", ""

    def __init__(self, writing: Writing, tokenizer: Tokenizer, prompts: list[list[int]]):
        self.writing, self.tokenizer, self.prompts = writing, tokenizer, prompts
        self.head = {"id": self.id_start + secrets.token_hex(12), "created": int(time.time()), "model": writing.model}
        self.choices: list[dict[str, Any]] = [{} for _ in range(len(prompts) * writing.n)]
        self.written = 0

    def add(self, number: int, piece: Piece) -> dict[str, Any] | None:
        """Take one piece of text `number`; the chunk to stream because of it, if there is one."""
        self.written += piece.choice is not None
        part = self.part(number, piece)
        if part is None:
            return None
        part = {"index": number, **part, "finish_reason": piece.finish}
        whole = self.choices[number]
        self.choices[number] = add_up(whole, part) if whole else part
        return self.chunk([part])

    def part(self, number: int, piece: Piece) -> dict[str, Any] | None:
        """What a piece adds to its choice."""
        raise NotImplementedError

    def chunk(self, choices: list[dict]) -> dict[str, Any]:
        usage = {"usage": None} if self.writing.include_usage else {}
        return {"object": self.chunk_name, **self.head, "choices": choices} | usage

    def last_chunk(self) -> dict[str, Any]:
        """With include_usage, the chunk after all texts."""
        return self.chunk([]) | {"usage": self.usage()}

    def whole(self) -> dict[str, Any]:
        return {"object": self.object_name, **self.head, "choices": self.choices, "usage": self.usage()}

    def usage(self) -> dict[str, int]:
        """Tokens. An end-of-text token was written, too, though it is no text."""
        read = sum(map(len, self.prompts))
        return {"prompt_tokens": read, "completion_tokens": self.written, "total_tokens": read + self.written}


class CompletionReply(Reply):
    """given: the prompts as the client sent them; echo: whether they are to be repeated."""

    object_name = chunk_name = "text_completion"
    id_start = "cmpl-"

    def __init__(self, writing: Writing, tokenizer: Tokenizer, prompts: list[list[int]], given: list[Any], echo: bool):
        super().__init__(writing, tokenizer, prompts)
        # Before a text, the end-of-text token marks the beginning of a document: it is not the client's.
        mark = [tokenizer.end_of_text]
        self.shown = [t[1:] if isinstance(g, str) and t[:1] == mark else t for t, g in zip(prompts, given, strict=True)]
        self.echo = echo
        self.places = [Places() for _ in self.choices]

    def part(self, number: int, piece: Piece) -> dict[str, Any] | None:
        if piece.prompt is None:
            choices = [piece.choice] if piece.choice else []  # also the end-of-text token, as clients expect
            logprobs = None if self.writing.num_top is None else self.logprobs(choices, self.places[number])
            return {"text": piece.text, "logprobs": logprobs} if piece.text or piece.finish or logprobs else None
        tokens, choices = self.shown[number // self.writing.n], list(piece.prompt)
        if len(tokens) > len(choices):
            choices.insert(0, Choice(tokens[0]))  # nothing stands before it, so it has no logprob
        logprobs = None if self.writing.num_top is None else self.logprobs(choices, self.places[number])
        if self.echo:
            return {"text": self.tokenizer.decode(tokens), "logprobs": logprobs}
        return {"text": "", "logprobs": self.logprobs([], Places()) if logprobs else None} if piece.finish else None

    def logprobs(self, choices: list[Choice], places: "Places") -> dict[str, list]:
        shown = [self.tokenizer.decode_bytes([choice.token]) for choice in choices]
        known = [choice.logprob == choice.logprob for choice in choices]  # nan where it is not known
        tops = [{show(self.tokenizer.decode_bytes([t])): finite(p) for t, p in choice.top} for choice in choices]
        return {
            "tokens": [show(token) for token in shown],
            "token_logprobs": [finite(choice.logprob) if k else None for choice, k in zip(choices, known, strict=True)],
            "top_logprobs": [top if k else None for top, k in zip(tops, known, strict=True)],
            "text_offset": [places.after(token) for token in shown],
            "token_ids": [choice.token for choice in choices],  # not OpenAI's: a client can go on from any token
        }


class ChatReply(Reply):
    object_name, chunk_name, id_start = "chat.completion", "chat.completion.chunk", "chatcmpl-"

    def part(self, number: int, piece: Piece) -> dict[str, Any] | None:
        if piece.prompt is not None:
            return {"delta": {"role": "assistant", "content": ""}, "logprobs": None}
        logprobs = None
        at_end = piece.choice is not None and piece.choice.token == self.tokenizer.end_of_text  # no part of the message
        if self.writing.num_top is not None and piece.choice and not at_end:
            logprobs = {"content": [self.describe(piece.choice)]}
        if not (piece.text or piece.finish or logprobs):
            return None
        return {"delta": {"content": piece.text} if piece.text else {}, "logprobs": logprobs}

    def describe(self, choice: Choice) -> dict[str, Any]:
        def about(token: int, logprob: float) -> dict[str, Any]:
            data = self.tokenizer.decode_bytes([token])
            return {"token": show(data), "logprob": finite(logprob), "bytes": list(data)}

        return about(choice.token, choice.logprob) | {"top_logprobs": [about(*top) for top in choice.top]}

    def whole(self) -> dict[str, Any]:
        choices = [{("message" if key == "delta" else key): v for key, v in c.items()} for c in self.choices]
        return super().whole() | {"choices": choices}


def add_up(whole: Any, part: Any) -> Any:
    """Two parts of a choice as one: texts and lists one after the other, other values the later ones."""
    if isinstance(whole, dict) and isinstance(part, dict):
        return whole | {key: add_up(whole.get(key), value) for key, value in part.items() if value is not None}
    if isinstance(whole, str | list) and type(whole) is type(part):
        return whole + part
    return part


def show(token: bytes) -> str:
    """A token as text; one that holds parts of characters as OpenAI writes it: "bytes:\\xe7\\x8c"."""
    try:
        return token.decode("utf-8")
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in token)


def finite(logprob: float) -> float:
    """JSON has no infinity; OpenAI writes -9999."""
    return logprob if logprob > -9999 else -9999.0  # also where it is no number


class Places:
    """Where in a text each token begins, in characters."""

    def __init__(self) -> None:
        self.utf8, self.place = codecs.getincrementaldecoder("utf-8")(errors="replace"), 0

    def after(self, token: bytes) -> int:
        """The place of this token; the next one will come after it."""
        place = self.place
        self.place += len(self.utf8.decode(token))
        return place
