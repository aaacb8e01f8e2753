"""Byte-level BPE, GPT-2's tokenizer: trained here by hand, run by `tiktoken`.

Text is cut into words by GPT-2's pattern and words into UTF-8 bytes. Then neighbours are merged into longer and longer
tokens, the most frequent first (Sennrich et al. 2016; over bytes: Radford et al. 2019, section 2.2). Every byte is a
token, so any text of any language can be written. gpt/fast/bpe.py trains the same tokens, faster;
gpt/files/tokenizer_files.py saves them as GPT-2's own two files.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from itertools import pairwise

import numpy as np
import regex
import tiktoken
from tqdm import tqdm

from gpt.errors import UserError

END_OF_TEXT = "<|endoftext|>"
# A word: 's and its like; letters, numbers or other signs with the space before them; spaces (tiktoken fails at 10**6).
WORD = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s{1,500000}(?!\S)|\s"""
# Training looks at the commonest words only, 2 MB of different ones. Rarer words change little, and Chinese, whose
# "words" are whole clauses, has ever more of them.
DIFFERENT_BYTES = 2_000_000
# A longer word (a genome, a row of a million dashes) is cut into parts of this many bytes, each a word by itself.
LONGEST_WORD = 256

# GPT-2 gives bytes the ids 0-255 in this order: those that print as a character first.
PRINTABLE = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
BYTE_ORDER = PRINTABLE + [byte for byte in range(256) if byte not in PRINTABLE]


def count_words(texts: Iterable[str]) -> list[tuple[bytes, int]]:
    """The different words of the texts and how often each occurs, the commonest first."""
    words: Counter[str] = Counter()
    for text in texts:
        words.update(regex.findall(WORD, text))
    parts: Counter[bytes] = Counter()
    for word, times in words.items():
        data = word.encode()
        for start in range(0, len(data), LONGEST_WORD):
            parts[data[start : start + LONGEST_WORD]] += times
    counted, size = [], 0
    for part, times in parts.most_common():
        if size < DIFFERENT_BYTES:
            counted.append((part, times))
            size += len(part)
    return counted


def train_bpe(texts: Iterable[str], vocab_size: int) -> list[bytes]:
    """The tokens to add to the 256 bytes and the end-of-text token, best first: at most vocab_size - 257, fewer when
    the texts run out of neighbours seen twice. Raises UserError if vocab_size is less than 257.

    A candidate is known by its bytes, not by the pair that spells it ("ab"+"c" and "a"+"bc" are one), because that is
    how tiktoken merges. Of equally frequent candidates the one whose bytes sort first is taken.
    """
    check_vocab_size(vocab_size)
    words = [([bytes([byte]) for byte in word], times) for word, times in count_words(texts)]
    tokens: list[bytes] = []
    with tqdm(total=vocab_size - 257, desc="merging", unit="token", delay=1, leave=False) as bar:
        while len(tokens) < vocab_size - 257:
            count: dict[bytes, float] = defaultdict(int)  # candidate -> how often two neighbours spell it
            for word, times in words:
                for left, right in pairwise(word):
                    count[left + right] += times
            for token in count.keys() & set(tokens):
                count[token] = math.inf  # an older one, spelled anew (ab|c, then a|bc), comes first, as when encoding
            best = min(count, key=lambda token: (-count[token], token), default=b"")
            if count[best] < 2:
                break
            if count[best] < math.inf:
                tokens.append(best)
                bar.update()
            words = [(merge(word, best), times) for word, times in words]
    return tokens


def check_vocab_size(vocab_size: int) -> None:
    if vocab_size < 257:
        raise UserError(f"a vocabulary of {vocab_size} is too small: 256 bytes and {END_OF_TEXT} make 257")


def merge(parts: list[bytes], token: bytes) -> list[bytes]:
    """Join neighbours that spell `token`, from the left: [a, b, a, b, a] and ab give [ab, ab, a]."""
    merged: list[bytes] = []
    i = 0
    while i < len(parts):
        if i + 1 < len(parts) and parts[i] + parts[i + 1] == token:
            merged.append(token)
            i += 2
        else:
            merged.append(parts[i])
            i += 1
    return merged


def encode_word(word: bytes, ids: dict[bytes, int]) -> list[int]:
    """What tiktoken does: join the two neighbours whose token has the lowest id, until no two spell a token."""
    parts = [bytes([byte]) for byte in word]
    while joins := [(ids[a + b], i) for i, (a, b) in enumerate(pairwise(parts)) if a + b in ids]:
        i = min(joins)[1]
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
    return [ids[part] for part in parts]


class Tokenizer:
    """Text to token ids and back. Ids: 256 bytes in GPT-2's order, then the merges, then the end-of-text token.

    add_bos_token (`transformers`' name for it): encode_document puts the end-of-text token before a text. A model that
    read most documents from this token on in training has seldom seen a text without it, and is lost in one.
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
    def train(
        cls, texts: Iterable[str], vocab_size: int, trainer: Callable[[Iterable[str], int], list[bytes]] = train_bpe
    ) -> "Tokenizer":
        """Learn at most `vocab_size` tokens, of which 257 are bytes and end-of-text. trainer: or its fast twin."""
        tokens = trainer(texts, vocab_size)
        known = {bytes([byte]) for byte in range(256)} | set(tokens)
        # tiktoken joins any two tokens that spell a third; a merges file lists pairs. So list every such pair.
        cuts = ((token[:i], token[i:]) for token in tokens for i in range(len(token) - 1, 0, -1))
        return cls([(left, right) for left, right in cuts if left in known and right in known])

    def encode(self, text: str) -> list[int]:
        """Ids of a text. They never include the end-of-text token, even if the text spells it out."""
        return self.encoding.encode_ordinary(text)

    def encode_document(self, text: str) -> list[int]:
        """Ids of a text as a model reads it from its beginning: with add_bos_token, after the end-of-text token."""
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
