"""train_bpe of gpt/tokenizer.py, faster.

The plain version counts all neighbours again for every token. Here a merge changes only the counts of the words that it
touches, and a heap finds the most frequent candidate at once.
"""

import heapq
import math
from collections import defaultdict
from collections.abc import Iterable
from itertools import pairwise

from tqdm import tqdm

from gpt.tokenizer import check_vocab_size, count_words, merge


def train_bpe_with_heap(texts: Iterable[str], vocab_size: int) -> list[bytes]:
    """The tokens that train_bpe gives."""
    check_vocab_size(vocab_size)
    counted = count_words(texts)
    words = [[bytes([byte]) for byte in word] for word, _ in counted]  # each different word as its tokens so far
    count: dict[bytes, int] = defaultdict(int)  # candidate -> how often two neighbours spell it
    where: dict[bytes, set[int]] = defaultdict(set)  # candidate -> the words in which they do, or once did
    for i, (word, (_, times)) in enumerate(zip(words, counted, strict=True)):
        for left, right in pairwise(word):
            count[left + right] += times
            where[left + right].add(i)

    # When a count changes, the new one is pushed and the old entry left where it is; it is recognised as stale when it
    # comes up.
    heap: list[tuple[float, bytes]] = [(-n, token) for token, n in count.items()]
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
            before, times = words[i], counted[i][1]
            words[i] = after = merge(before, token)
            for left, right in pairwise(before):
                change[left + right] -= times
            for left, right in pairwise(after):
                change[left + right] += times
                where[left + right].add(i)
        for candidate, difference in change.items():
            count[candidate] += difference
            if difference and count[candidate]:
                # New neighbours that spell a token we already have are merged before all else, as when encoding.
                heapq.heappush(heap, (-count[candidate] if candidate not in made else -math.inf, candidate))
    bar.close()
    return list(made)
