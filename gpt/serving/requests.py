"""What a client asks for: JSON bodies in OpenAI's shape, checked field by field, and errors in OpenAI's shape.

A field that would change the text and that these models do not know is refused, not ignored: a client that asks for
JSON or for tools must not believe that it got them. Fields that only describe the client (`user`, `metadata`) may be
there. Beyond OpenAI's there are `top_k`, `min_p` and `repetition_penalty`, with the meaning that sample.py gives them.
"""

import json
from dataclasses import dataclass
from typing import Any

from gpt.files.tables import whole_characters
from gpt.sampling import Sampling

SAMPLING = {"temperature", "top_p", "top_k", "min_p", "repetition_penalty"}
WRITING = SAMPLING | {"model", "n", "stop", "seed", "stream", "stream_options", "max_tokens", "logprobs"}
COMPLETION_FIELDS = WRITING | {"prompt", "echo"}
CHAT_FIELDS = WRITING | {"messages", "top_logprobs", "max_completion_tokens"}
CLASSIFY_FIELDS = {"model", "input"}
IGNORED_FIELDS = {"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key"}
NEUTRAL = {  # what clients send by default; any other value would ask for something that is not here
    "frequency_penalty": 0, "presence_penalty": 0, "best_of": 1, "logit_bias": {}, "suffix": "", "tools": [],
    "response_format": {"type": "text"}, "parallel_tool_calls": True, "tool_choice": "none", "modalities": ["text"],
}  # fmt: skip
MOST_STOPS, LONGEST_STOP, MOST_TOP, MOST_TEXTS = 16, 200, 20, 64


class ApiError(Exception):
    """An answer that is no text: an HTTP status, one line that says what is wrong and what to do, OpenAI's code."""

    def __init__(self, status: int, message: str, code: str | None = None, param: str | None = None):
        super().__init__(message)
        kinds = {401: "authentication_error", 429: "rate_limit_error"}
        kind = kinds.get(status, "server_error" if status >= 500 else "invalid_request_error")
        self.status = status
        self.content = {"error": {"message": message, "type": kind, "param": param, "code": code}}


@dataclass(frozen=True)
class Limits:
    """What one client may take from the others."""

    rows: int = 32  # texts written at once, and so the most that one request can ask for
    waiting: int = 64  # texts that wait for a row; a request beyond them is answered 429
    max_tokens: int = 2048  # of one text
    seconds: float = 120.0  # from a request to the end of its answer
    body: int = 2**20  # bytes of a request


@dataclass(frozen=True)
class Writing:
    """What completions and chat have in common."""

    model: str
    n: int
    stop: tuple[str, ...]
    seed: int | None
    sampling: Sampling
    max_tokens: int | None
    num_top: int | None
    stream: bool
    include_usage: bool


def read_object(body: bytes) -> dict[str, Any]:
    """A body as a JSON object. Raises ApiError if it is none."""

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no number of JSON")

    try:
        content = json.loads(body.decode("utf-8"), parse_constant=refuse)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        reason = "too deep" if isinstance(error, RecursionError) else str(error).split("\n")[0][:100]
        raise ApiError(400, f"the body is not JSON in UTF-8: {reason}") from None
    if not isinstance(content, dict):
        raise ApiError(400, 'the body must be a JSON object: {"model": ..., ...}')
    return content


class Fields:
    """The fields of a request; null counts as absent. Every method raises ApiError for a value that does not do."""

    def __init__(self, content: dict[str, Any], known: set[str]):
        self.content = {name: value for name, value in content.items() if value is not None}
        for name, value in self.content.items():
            if name in known | IGNORED_FIELDS or (name in NEUTRAL and value == NEUTRAL[name]):
                continue
            what = "is not supported with this value: leave it out" if name in NEUTRAL else "is not known here"
            raise ApiError(400, f"the field {name[:40]!r} {what}", "unsupported_parameter", name[:40])

    def wrong(self, name: str, needed: str) -> ApiError:
        return ApiError(400, f"{name} must be {needed}", "invalid_value", name)

    def text(self, name: str) -> str:
        value = self.content.get(name)
        if not isinstance(value, str):
            raise self.wrong(name, "a text")
        return whole_characters(value)

    def flag(self, name: str) -> bool:
        value = self.content.get(name, False)
        if not isinstance(value, bool):
            raise self.wrong(name, "true or false")
        return value

    def whole(self, name: str, low: int, high: int) -> int | None:
        value = self.content.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self.wrong(name, f"a whole number from {low:,} to {high:,}")
        return value

    def number(self, name: str) -> float | None:
        value = self.content.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e30:
            raise self.wrong(name, "a number")
        return float(value)

    def texts(self, name: str, most: int) -> list[str]:
        """A text or a list of texts."""
        value = self.content.get(name, [])
        values = [value] if isinstance(value, str) else value
        if not isinstance(values, list) or len(values) > most or not all(isinstance(text, str) for text in values):
            raise self.wrong(name, f"a text or a list of at most {most} texts")
        return [whole_characters(text) for text in values]

    def prompt(self) -> str | list[int]:
        """A text or a list of tokens."""
        value = self.content.get("prompt", "")
        if isinstance(value, str):
            return whole_characters(value)
        if not isinstance(value, list) or not value or not all(type(token) is int for token in value):
            raise self.wrong("prompt", "a text or a list of tokens")
        return value

    def prompts(self, most: int) -> list[str | list[int]]:
        """A text, a list of texts, a list of tokens, or a list of such lists."""
        value = self.content.get("prompt", "")
        if isinstance(value, list) and value and all(type(token) is int for token in value):
            return [value]
        if isinstance(value, list) and value and all(isinstance(part, list) for part in value):
            if len(value) <= most and all(type(token) is int for part in value for token in part):
                return value
            raise self.wrong("prompt", f"a text, tokens, or a list of at most {most} of either")
        texts = self.texts("prompt", most)
        if not texts:
            raise self.wrong("prompt", "a text, tokens, or a list of either, which is not empty")
        return list(texts)

    def sampling(self) -> Sampling:
        """Raises UserError, too."""
        settings = {name: self.number(name) for name in SAMPLING - {"top_k"}}
        settings["top_k"] = self.whole("top_k", 1, 10**6)
        # Beyond these, float32 knows only 0 and infinity. A top_p so small keeps the likeliest token, whatever it is.
        if not 0.01 <= (settings["repetition_penalty"] or 1) <= 100:
            raise self.wrong("repetition_penalty", "a number from 0.01 to 100")
        if 0 < (settings["top_p"] or 1) < 1e-6:
            settings["top_p"] = 1e-6
        return Sampling(**{name: value for name, value in settings.items() if value is not None})  # type: ignore[arg-type]

    def writing(self, limits: Limits, num_top: int | None, max_tokens: int | None) -> Writing:
        """Raises UserError, too."""
        stop = tuple(self.texts("stop", MOST_STOPS))
        if any(len(text) > LONGEST_STOP for text in stop):
            raise self.wrong("stop", f"texts of at most {LONGEST_STOP} characters")
        options = self.content.get("stream_options", {})
        if not isinstance(options, dict) or not isinstance(options.get("include_usage", False), bool):
            raise self.wrong("stream_options", 'such as {"include_usage": true}')
        return Writing(
            self.text("model"),
            self.whole("n", 1, limits.rows) or 1,
            stop,
            self.whole("seed", 0, 2**63 - 1),
            self.sampling(),
            max_tokens,
            num_top,
            self.flag("stream"),
            bool(options.get("include_usage")),
        )

    def completion(self, limits: Limits) -> tuple[Writing, list[str | list[int]], bool]:
        """(What to write, the prompts, whether to repeat them first). Raises UserError, too."""
        num_top = self.whole("logprobs", 0, MOST_TOP)
        max_tokens = self.whole("max_tokens", 0, limits.max_tokens)
        if max_tokens is None:
            max_tokens = min(16, limits.max_tokens)  # 16 is OpenAI's default
        writing = self.writing(limits, num_top, max_tokens)
        prompts = self.prompts(limits.rows)
        if len(prompts) * writing.n > limits.rows:
            raise self.wrong("n", f"such that all texts of a request are at most {limits.rows}")
        return writing, prompts, self.flag("echo")

    def chat(self, limits: Limits) -> tuple[Writing, list[Any]]:
        """(What to write, the messages). Raises UserError, too."""
        num_top = self.whole("top_logprobs", 0, MOST_TOP)
        if not self.flag("logprobs"):
            if num_top:
                raise self.wrong("logprobs", "true where top_logprobs are wanted")
            num_top = None
        elif num_top is None:
            num_top = 0
        newer = self.whole("max_completion_tokens", 1, limits.max_tokens)
        max_tokens = self.whole("max_tokens", 1, limits.max_tokens) if newer is None else newer
        return self.writing(limits, num_top, max_tokens), read_messages(self.content.get("messages"))


def read_messages(messages: Any) -> list[Any]:
    """Messages whose contents are texts: parts of the type "text" are joined. Who speaks when is checked later."""
    if not isinstance(messages, list) or not messages:
        raise ApiError(400, "messages must be a list of at least one message", "invalid_value", "messages")
    read = []
    for message in messages:
        content = message.get("content") if isinstance(message, dict) else None
        if isinstance(content, list):
            parts = [part for part in content if isinstance(part, dict) and part.get("type") == "text"]
            texts = [part["text"] for part in parts if isinstance(part.get("text"), str)]
            if len(texts) < len(content):
                raise ApiError(400, "a message may hold text alone", "invalid_value", "messages")
            message = message | {"content": "".join(texts)}
        read.append(message)
    return read
