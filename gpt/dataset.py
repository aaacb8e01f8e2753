"""A corpus of tokens as numbered batches: batch(step) depends on nothing but the seed and the step.

So a resumed run goes on with exactly the batches that it would have seen, and nothing about the data has to be saved.
gpt/files/tokens_folder.py opens a folder of tokens as such a dataset; any two arrays of ids make one too.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

IGNORED = -100  # a target that F.cross_entropy passes over
CHUNK = 1 << 22  # tokens looked at in one go when all of them are read


class Dataset:
    """Training and validation tokens, each a row of ids with end_of_text between its documents, cut into windows of
    `context_length` tokens. Only their slices are read, so they may stay on the disk (np.memmap)."""

    def __init__(
        self, train: np.ndarray, val: np.ndarray, end_of_text: int, context_length: int, batch_size: int, seed: int = 0
    ):
        self.train, self.val, self.end_of_text = train, val, end_of_text
        self.context_length, self.batch_size, self.seed = context_length, batch_size, seed
        # An epoch starts at its own offset in [0, context_length), so windows are cut differently each time.
        self.windows_per_epoch = (len(train) - context_length) // context_length

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Inputs and targets of update `step`, each (batch_size, context_length) int64; targets are one token later."""
        places = self.starts(step)[:, None] + np.arange(self.context_length + 1)
        tokens = torch.from_numpy(self.train[places].astype(np.int64))  # (batch_size, T + 1), copied from the disk
        return tokens[:, :-1], tokens[:, 1:]

    def starts(self, step: int) -> np.ndarray:
        """Where in the training tokens the windows of update `step` begin, (batch_size,) int64.

        An epoch cuts the text into windows side by side and shuffles them. A window that begins inside a document which
        would fit into it moves back to that document's beginning, because a model that reads a name without the
        sentence that introduced it learns only to guess. Raises ValueError for too few tokens.
        """
        n, T = self.windows_per_epoch, self.context_length
        if n < 1:
            raise ValueError(f"{len(self.train):,} training tokens are too few: windows of {T} need {2 * T:,}")
        number = np.arange(step * self.batch_size, (step + 1) * self.batch_size)  # of the window, since step 0
        starts = np.empty(self.batch_size, dtype=np.int64)
        for epoch in range(number[0] // n, number[-1] // n + 1):
            here = number // n == epoch
            offset, *keys = np.random.SeedSequence([self.seed, int(epoch)]).generate_state(5, np.uint64)
            starts[here] = int(offset) % T + T * shuffled(number[here] % n, n, keys)
        around = starts[:, None] + np.arange(-T, T + 1)  # (batch_size, 2T + 1)
        is_end = self.train[around.clip(0, len(self.train) - 1)] == self.end_of_text
        return starts - [self._tokens_back(row) for row in is_end]

    def _tokens_back(self, is_end: np.ndarray) -> int:
        """How far a window moves back to the beginning of its document. is_end (2T + 1,) says which tokens, from T
        before the window's first to T behind it, are end-of-text.

        It moves if all of the document fits into a window or the way is shorter than half a window. (If windows never
        moved back within long documents, hardly one would hold the first words of those that follow short ones.)
        """
        T = self.context_length
        marks = np.flatnonzero(is_end[: T + 1])
        if not len(marks):
            return 0
        back = T - int(marks[-1])
        fits = is_end[marks[-1] + 1 : marks[-1] + 1 + T].any()
        return back if fits or back < T // 2 else 0

    def evaluation_batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The whole validation split, each token but the first predicted exactly once; the same every time.

        Inputs and targets are (at most batch_size, context_length). Where a window cuts a document that would fit
        into one, the next reads it again from its beginning, with IGNORED in place of the targets already counted.
        """
        tokens, T = self.val[:], self.context_length  # one map of the file for all slices
        chunks = range(0, len(tokens), CHUNK)
        ends = [start + np.flatnonzero(tokens[start : start + CHUNK] == self.end_of_text) for start in chunks]
        starts = np.concatenate(([0], *ends, [len(tokens)]))  # a document is predicted from the end of the one before
        rows: list[Tensor] = []
        start, done = 0, 1  # where the window begins; how many tokens are predicted, or need not be
        while done < len(tokens):
            row = torch.full((T + 1,), IGNORED)
            window = torch.from_numpy(tokens[start : start + T + 1].astype(np.int64))
            row[: len(window)] = window
            rows.append(torch.stack((row[:-1], row[1:])))
            rows[-1][1, : done - start - 1] = IGNORED
            done = start + len(window)
            document = np.searchsorted(starts, done - 1, side="right") - 1  # the one that the next token is in
            fits = starts[min(document + 1, len(starts) - 1)] - starts[document] <= T
            start = int(starts[document]) if fits else done - 1
            if len(rows) == self.batch_size or done == len(tokens):
                inputs, targets = torch.stack(rows, dim=1)  # 2 × (B, T)
                yield inputs.clamp(min=0), targets
                rows = []


def shuffled(index: np.ndarray, n: int, keys: list[np.uint64]) -> np.ndarray:
    """Where the cards `index` of a deck of n lie after a shuffle: a permutation of 0 … n-1, chosen by `keys`.

    The deck is never laid out, so ten billion tokens cost no memory: a number's two halves are scrambled in turns, one
    as a function of the other, which can always be undone and so never sends two cards to one place (a Feistel network;
    Luby and Rackoff 1988). It permutes 4^k ≥ n numbers; a card that lands at n or beyond is sent on until it does not
    (cycle walking; Black and Rogaway 2002).
    """
    half = np.uint64(((n - 1).bit_length() + 1) // 2)
    mask = (np.uint64(1) << half) - np.uint64(1)
    place = index.astype(np.uint64)
    moving = np.ones(len(place), dtype=bool)
    while moving.any():
        left, right = place[moving] >> half, place[moving] & mask
        for key in keys:
            scrambled = (right ^ key) * np.uint64(0x9E3779B97F4A7C15)  # wraps around at 2^64
            scrambled = (scrambled ^ (scrambled >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
            left, right = right, left ^ (scrambled >> np.uint64(32)) & mask
        place[moving] = (left << half) | right
        moving = place >= n
    return place.astype(np.int64)
