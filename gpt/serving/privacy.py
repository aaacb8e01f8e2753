"""What the log may say about people: e-mail addresses, numbers and keys that clients send are masked."""

import logging
import re

log = logging.getLogger("gpt.serving")

NUMBER = re.compile(r"\+?\d(?:[\d .,:/()-]*\d)?")
KEY = re.compile(r"\b(?:sk|pk|hf|ghp|gho|glpat|xox[abp])[-_][\w-]{6,}|[A-Za-z0-9_-]{16,}")
LONGEST_SHOWN = 300  # characters of a prompt


def mask(text: str) -> str:
    """A client's text on one line, without its numbers, and without words that hold an e-mail address or a key: long,
    with letters and digits. It masks too much rather than too little."""
    words = re.sub(r"\S+", lambda match: "[e-mail]" if set("@＠") & set(match[0]) else match[0], text)
    words = KEY.sub(lambda match: "[key]" if looks_secret(match[0]) else match[0], words)
    words = NUMBER.sub("[number]", words)
    return "".join(char if char.isprintable() else " " for char in words)


def looks_secret(word: str) -> bool:
    return "-" in word[:6] or "_" in word[:6] or (any(map(str.isdigit, word)) and any(map(str.isalpha, word)))


def describe_prompt(text: str) -> str:
    """A prompt for the log: masked, then shortened, so that no half of an address is left."""
    masked = mask(text)
    return masked if len(masked) <= LONGEST_SHOWN else masked[:LONGEST_SHOWN] + "…"


class PrivateFormatter(logging.Formatter):
    """Time and message. Of an exception, its kind and place: its message could quote a client."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S")

    def formatException(self, ei) -> str:
        lines = super().formatException(ei).split("\n")
        return "\n".join(line if line.startswith((" ", "Traceback")) else mask(line) for line in lines)


def log_to_stderr() -> None:
    """Everything that is logged, by us or by uvicorn, masked."""
    handler = logging.StreamHandler()
    handler.setFormatter(PrivateFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
