"""Byte-level BPE, GPT-2's tokenizer: trained here by hand, run by `tiktoken`.

Text is cut into words by GPT-2's pattern, words into UTF-8 bytes, and then neighbours are merged into longer and
longer tokens, the most frequent first (Sennrich et al. 2016; over bytes: Radford et al. 2019, section 2.2). Since
every byte is a token, any text of any language can be written; since a tokenizer is nothing but the list of its
merges, it is saved as GPT-2's own two files, `vocab.json` and `merges.txt`.
"""

import heapq
import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import numpy as np
import regex
import tiktoken
from tqdm import tqdm

from gpt.errors import UserError
from gpt.files.atomic import write_text

END_OF_TEXT = "<|endoftext|>"
# A word: 's and its like, or letters, numbers or other signs with the space before them; or spaces alone.
WORD = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
# Training looks at the commonest words until the different ones make 2 MB; what is rarer changes little, but Chinese,
# whose "words" are whole clauses, has it without end.
DIFFERENT_WORDS = 2_000_000
# Of a word longer than this many bytes (a genome, a row of a million dashes) each such part is a word by itself.
LONGEST_WORD = 256

# GPT-2 gives bytes the ids 0-255 in this order: those that print as a character first.
PRINTABLE = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
BYTE_ORDER = PRINTABLE + [byte for byte in range(256) if byte not in PRINTABLE]
# In its files a byte that does not print is written as a character from 256 on: a space is "Ġ".
BYTE_TO_CHAR = dict(zip(BYTE_ORDER, [*map(chr, PRINTABLE), *map(chr, range(256, 512))], strict=False))
CHAR_TO_BYTE = {char: byte for byte, char in BYTE_TO_CHAR.items()}


def train_bpe(texts: Iterable[str], vocab_size: int) -> list[bytes]:
    """The tokens to add to the 256 bytes and the end-of-text token, best first: at most vocab_size - 257.

    Fewer when the texts run out of neighbours seen twice. A candidate is known by its bytes, not by the pair that
    spells it ("ab"+"c" and "a"+"bc" are one), because that is how tiktoken merges. Of equally frequent
    candidates the one whose bytes sort first is taken.
    """
    if vocab_size < 257:
        raise UserError(f"a vocabulary of {vocab_size} is too small: 256 bytes and {END_OF_TEXT} make 257")
    word_counts: Counter[str] = Counter()
    for text in texts:
        word_counts.update(regex.findall(WORD, text))
    short_counts: Counter[bytes] = Counter()
    for word, n in word_counts.items():
        data = word.encode()
        for start in range(0, len(data), LONGEST_WORD):
            short_counts[data[start : start + LONGEST_WORD]] += n
    words, times, size = [], [], 0  # each different word as its tokens so far, how often it occurs, bytes of all
    for data, n in short_counts.most_common():
        if size < DIFFERENT_WORDS:
            words.append([bytes([byte]) for byte in data])
            times.append(n)
            size += len(words[-1])

    count: dict[bytes, int] = defaultdict(int)  # candidate -> how often two neighbours spell it
    where: dict[bytes, set[int]] = defaultdict(set)  # candidate -> the words in which they do, or once did
    for i, word in enumerate(words):
        for left, right in pairwise(word):
            count[left + right] += times[i]
            where[left + right].add(i)

    # A heap finds the most frequent candidate at once. When a count changes, the new one is pushed and the old
    # entry left where it is; it is recognised as stale when it comes up.
    heap = [(-n, token) for token, n in count.items()]
    heapq.heapify(heap)
    made: dict[bytes, None] = {}  # the tokens made so far, in order
    bar = tqdm(total=vocab_size - 257, desc="merging", unit="token", delay=1, leave=False)
    while heap and len(made) < vocab_size - 257:
        n, token = heapq.heappop(heap)
        if token not in made:
            if -n != count[token]:
                continue
            if count[token] < 2:
                break
            made[token] = None
            bar.update()
        change: dict[bytes, int] = defaultdict(int)
        for i in where.pop(token, ()):
            before = words[i]
            words[i] = after = merge(before, token)
            for left, right in pairwise(before):
                change[left + right] -= times[i]
            for left, right in pairwise(after):
                change[left + right] += times[i]
                where[left + right].add(i)
        for candidate, difference in change.items():
            count[candidate] += difference
            if difference and count[candidate]:
                # New neighbours that spell a token we already have are merged before all else, as when encoding.
                heapq.heappush(heap, (-count[candidate] if candidate not in made else -np.inf, candidate))
    bar.close()
    return list(made)


def merge(parts: list[bytes], token: bytes) -> list[bytes]:
    """Join neighbours that spell `token`, from the left: [a, b, a, b, a] and ab give [ab, ab, a]."""
    merged = []
    i = 0
    while i < len(parts):
        if i + 1 < len(parts) and parts[i] + parts[i + 1] == token:
            merged.append(token)
            i += 2
        else:
            merged.append(parts[i])
            i += 1
    return merged


class Tokenizer:
    """Text to token ids and back. Ids: 256 bytes in GPT-2's order, then the merges, then the end-of-text token.

    add_bos_token (`transformers`' name for it): the model knows the beginning of a document by the end-of-text token
    before it, has seldom seen a window that begins otherwise, and is lost in one.
    """

    def __init__(self, merges: list[tuple[bytes, bytes]], add_bos_token: bool = False):
        self.merges, self.add_bos_token = merges, add_bos_token
        self.ids = {bytes([byte]): i for i, byte in enumerate(BYTE_ORDER)}  # token -> id
        for left, right in merges:
            self.ids.setdefault(left + right, len(self.ids))
        self.end_of_text = len(self.ids)
        self.vocab_size = len(self.ids) + 1
        self.encoding = tiktoken.Encoding(
            "gpt", pat_str=WORD, mergeable_ranks=self.ids, special_tokens={END_OF_TEXT: self.end_of_text}
        )

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int) -> "Tokenizer":
        """Learn a vocabulary of at most `vocab_size` tokens, 257 being bytes alone (see train_bpe)."""
        tokens = train_bpe(texts, vocab_size)
        known = {bytes([byte]) for byte in range(256)} | set(tokens)
        # tiktoken joins any two tokens that spell a third; a merges file lists pairs. So list every such pair.
        return cls(
            [
                (token[:cut], token[cut:])
                for token in tokens
                for cut in range(len(token) - 1, 0, -1)
                if token[:cut] in known and token[cut:] in known
            ]
        )

    def encode(self, text: str) -> list[int]:
        """Ids of a text. Whatever it says, it never gives the end-of-text token: that one is added on purpose."""
        return self.encoding.encode_ordinary(text)

    def encode_document(self, text: str) -> list[int]:
        """Ids of a text for a model to read from its beginning; not empty where the end-of-text token comes first."""
        return [self.end_of_text] * self.add_bos_token + self.encode(text)

    def encode_to_numpy(self, text: str) -> np.ndarray:
        """The same as an array of uint32: quicker for long texts."""
        return self.encoding.encode_to_numpy(text, disallowed_special=())

    def decode(self, ids: Iterable[int]) -> str:
        """The text of some ids. Bytes that are no whole UTF-8 character become U+FFFD."""
        return self.decode_bytes(ids).decode("utf-8", errors="replace")

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The bytes of some ids; a single token may hold a part of a character."""
        return self.encoding.decode_bytes(list(ids))

    def save(self, folder: Path | str) -> None:
        """Write vocab.json and merges.txt, as GPT-2's, into an existing folder."""
        vocab = {to_chars(token): i for token, i in self.ids.items()} | {END_OF_TEXT: self.end_of_text}
        lines = ["#version: 0.2", *(f"{to_chars(left)} {to_chars(right)}" for left, right in self.merges)]
        write_text(Path(folder) / "vocab.json", json.dumps(vocab, ensure_ascii=False))
        write_text(Path(folder) / "merges.txt", "\n".join(lines) + "\n")

    @classmethod
    def load(cls, folder: Path | str) -> "Tokenizer":
        """Read a folder's vocab.json and merges.txt, ours or GPT-2's, and add_bos_token from tokenizer_config.json, if
        that is there. Raises UserError if they are not that."""
        for name in ("vocab.json", "merges.txt"):
            if not (Path(folder) / name).is_file():
                raise UserError(f"{folder} holds no {name}: it is not a folder with a tokenizer")
        add_bos_token = adds_bos_token(Path(folder) / "tokenizer_config.json")
        try:
            vocab = json.loads((Path(folder) / "vocab.json").read_text(encoding="utf-8"))
            lines = (Path(folder) / "merges.txt").read_text(encoding="utf-8").split("\n")
            lines = lines[1:] if lines[0].startswith("#version") else lines
            merges = [tuple(to_bytes(half) for half in line.split(" ")) for line in lines if line]
            tokenizer = cls(merges, add_bos_token)
            same = vocab == {to_chars(token): i for token, i in tokenizer.ids.items()} | {
                END_OF_TEXT: tokenizer.end_of_text
            }
        except (ValueError, KeyError, TypeError):  # not JSON, not UTF-8, no pair in a line, a strange character
            same = False
        if not same:
            raise UserError(
                f"vocab.json and merges.txt in {folder} do not fit each other as GPT-2's do "
                f"(256 bytes, then the merges in their order, then {END_OF_TEXT})"
            )
        return tokenizer


def adds_bos_token(path: Path) -> bool:
    """What a tokenizer_config.json says of it. Raises UserError if it is damaged."""
    try:
        return path.is_file() and json.loads(path.read_text(encoding="utf-8")).get("add_bos_token") is True
    except (ValueError, AttributeError):
        raise UserError(f"{path} is not a JSON object: restore it, or remove it") from None


def to_chars(token: bytes) -> str:
    """How GPT-2's files write a token's bytes."""
    return "".join(BYTE_TO_CHAR[byte] for byte in token)


def to_bytes(chars: str) -> bytes:
    return bytes(CHAR_TO_BYTE[char] for char in chars)
