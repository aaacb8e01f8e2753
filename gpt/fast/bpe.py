"""train_bpe of gpt/tokenizer.py, faster.

The plain version counts all neighbours again for every token. Here a merge visits only the places where the token
stands and changes only the counts of its neighbours there, and a heap finds the most frequent candidate at once.
"""

import gc
import heapq
import math
from array import array
from collections import defaultdict
from collections.abc import Iterable
from itertools import pairwise

from tqdm import tqdm

from gpt.tokenizer import check_vocab_size, count_words


def train_bpe_with_heap(texts: Iterable[str], vocab_size: int) -> list[bytes]:
    """The tokens that train_bpe gives."""
    check_vocab_size(vocab_size)
    collecting = gc.isenabled()
    gc.disable()  # looking for garbage in millions of small objects takes a third of the time, and there is none
    try:
        return merge_places(count_words(texts), vocab_size - 257)
    finally:
        if collecting:
            gc.enable()


def merge_places(counted: list[tuple[bytes, int]], most: int) -> list[bytes]:
    """At most this many tokens from words and how often each occurs."""
    # All words in one row of places. A token stands at its first place; its other places, and one after each word, are
    # empty. before and after lead from a token to its neighbours.
    parts: list[bytes] = []
    times: list[int] = []  # how often the word of this place occurs
    for word, number in counted:
        parts += [bytes([byte]) for byte in word] + [b""]
        times += [number] * (len(word) + 1)
    before, after = array("q", range(-1, len(parts) - 1)), array("q", range(1, len(parts) + 1))
    count: dict[bytes, int] = defaultdict(int)  # candidate -> how often two neighbours spell it
    where: dict[bytes, list[int]] = defaultdict(list)  # candidate -> where the first of them stands, or once stood
    for place, (left, right) in enumerate(pairwise(parts)):
        if left and right:
            candidate = left + right
            count[candidate] += times[place]
            where[candidate].append(place)

    # When a count changes, the new one is pushed and the old entry left where it is; it is recognised as stale when it
    # comes up.
    heap: list[tuple[float, bytes]] = [(-number, token) for token, number in count.items()]
    heapq.heapify(heap)
    made: dict[bytes, None] = {}  # the tokens made so far, in order
    bar = tqdm(total=most, desc="merging", unit="token", delay=1, leave=False)
    while heap and len(made) < most:
        number, token = heapq.heappop(heap)
        if token not in made:
            if -number != count[token]:
                continue
            if count[token] < 2:
                break
            made[token] = None
            bar.update()
        # (neighbour, what stood beside it) -> where: a pair that comes often is spelled and counted once.
        on_the_left: dict[tuple[bytes, bytes], list[int]] = defaultdict(list)
        on_the_right: dict[tuple[bytes, bytes], list[int]] = defaultdict(list)
        for place in sorted(where.pop(token, ())):  # from the left, as merge does
            left, second = parts[place], after[place]
            if not left or left + parts[second] != token:
                continue  # no longer: one of the two has been merged with another neighbour
            right = parts[second]
            previous, following = before[place], after[second]
            parts[place], parts[second] = token, b""
            after[place], before[following] = following, place
            if neighbour := parts[previous]:
                on_the_left[neighbour, left].append(previous)
            if neighbour := parts[following]:
                on_the_right[neighbour, right].append(place)
        moved = [(near + part, near + token, places) for (near, part), places in on_the_left.items()]
        moved += [(part + near, token + near, places) for (near, part), places in on_the_right.items()]
        changed: set[bytes] = set()
        for old, new, places in moved:
            n = sum([times[place] for place in places])
            count[old] -= n
            count[new] += n
            where[new] += places
            changed.update((old, new))
        count[token] = 0
        for candidate in changed:
            if count[candidate]:
                # New neighbours that spell a token we already have are merged before all else, as when encoding.
                heapq.heappush(heap, (-count[candidate] if candidate not in made else -math.inf, candidate))
    bar.close()
    return list(made)
