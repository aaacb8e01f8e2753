"""A tokens folder, read as numbered batches: batch(step) depends on nothing but the seed and the step.

So a resumed run goes on with exactly the batches that it would have seen, and nothing about the data has to be
saved. The tokens stay on disk; a batch maps the file, takes its windows and lets go again.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gpt.errors import UserError

IGNORED = -100  # a target that F.cross_entropy passes over
CHUNK = 1 << 22  # tokens looked at in one go when a whole file is read


class Dataset:
    """The folder that `python -m data.prepare` writes, cut into windows of `context_length` tokens.

    meta: what meta.json says: sizes, sources, and the corpus's exact entropy where it is known.
    Raises UserError if the folder is not one, or is too small, or holds ids outside its own vocabulary
    (batch() does where they were not looked at in the beginning).
    """

    def __init__(self, folder: Path | str, context_length: int, batch_size: int, seed: int = 0):
        self.folder = Path(folder)
        self.context_length, self.batch_size, self.seed = context_length, batch_size, seed
        self.meta = read_meta(self.folder)
        self.vocab_size = self.meta["vocab_size"]
        self.dtype = np.dtype(self.meta["dtype"]).newbyteorder("<")
        for split in ("train", "val"):
            self._check(split, self.meta[f"{split}_tokens"])
        self.end_of_text = self.vocab_size - 1
        # Where the mean document fits into a window, most windows begin with one, at the end-of-text token before it.
        self.begins_documents = self.meta["train_tokens"] <= self.meta["train_documents"] * context_length
        # An epoch starts at its own offset in [0, context_length), so windows are cut differently each time.
        self.windows_per_epoch = (self.meta["train_tokens"] - context_length) // context_length

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Inputs and targets of update `step`, each (batch_size, context_length) int64; targets are one later."""
        places = self.starts(step)[:, None] + np.arange(self.context_length + 1)
        windows = self._open("train")[places]  # (batch_size, T + 1), copied from disk
        self._check_ids("train", windows)
        tokens = torch.from_numpy(windows.astype(np.int64))
        return tokens[:, :-1], tokens[:, 1:]

    def starts(self, step: int) -> np.ndarray:
        """Where in the training tokens the windows of update `step` begin, (batch_size,) int64.

        An epoch cuts the text into windows side by side; each comes once before the next epoch begins, in an order
        of its own. A window that begins inside a document which would fit into it moves back to that document's
        beginning: who reads a name without the sentence that introduced it learns nothing but to guess. So short
        documents are read whole, and then the next ones as far as there is room.
        """
        n, T = self.windows_per_epoch, self.context_length
        number = np.arange(step * self.batch_size, (step + 1) * self.batch_size)  # of the window, since step 0
        starts = np.empty(self.batch_size, dtype=np.int64)
        for epoch in range(number[0] // n, number[-1] // n + 1):
            here = number // n == epoch
            offset, *keys = np.random.SeedSequence([self.seed, int(epoch)]).generate_state(5, np.uint64)
            starts[here] = int(offset) % T + T * shuffled(number[here] % n, n, keys)
        tokens = self._open("train")
        return np.array([self._beginning(tokens, start) for start in starts.tolist()])

    def _beginning(self, tokens: np.ndarray, place: int) -> int:
        """Where the document around `place` begins, at the end-of-text token before it, if all of it fits into a
        window or it is less than half a window back; else `place`. (If long documents were never moved back to,
        hardly a window would hold the first words of those that follow short ones.) Only the tokens around `place`
        are looked at: no list of documents is needed."""
        T = self.context_length
        earliest = max(0, place - T)
        marks = earliest + np.flatnonzero(tokens[earliest : place + 1] == self.end_of_text)
        if not len(marks):
            return place
        mark = int(marks[-1])
        fits = self.end_of_text in tokens[mark + 1 : mark + 1 + T]
        return mark if fits or place - mark < T // 2 else place

    def evaluation_batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The whole validation split, each token but the first predicted exactly once; the same every time.

        Inputs and targets are (at most batch_size, context_length). A document that fits a window is read from its
        beginning: where the last window cut it, it is read again, with IGNORED in place of the targets that have
        been counted. Longer documents are read in windows side by side.
        """
        tokens, T = self._open("val"), self.context_length
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

    def bits_per_byte(self, nats_per_token: float) -> float:
        """The validation loss in a unit that does not depend on the vocabulary."""
        return nats_per_token / math.log(2) * self.meta["val_tokens"] / self.meta["val_bytes"]

    def _open(self, split: str) -> np.ndarray:
        # Mapped afresh each time: pages of a map kept open would count as this process's memory more and more.
        return np.memmap(self._path(split), dtype=self.dtype, mode="r")

    def _path(self, split: str) -> Path:
        """The file of a split, if it is (still) there and whole."""
        path, tokens = self.folder / f"{split}.bin", self.meta[f"{split}_tokens"]
        if not path.is_file() or path.stat().st_size != tokens * self.dtype.itemsize:
            raise UserError(f"{path} is missing or not the {tokens:,} tokens meta.json speaks of: prepare it again")
        return path

    def _check(self, split: str, tokens: int) -> None:
        path = self._path(split)
        needed = 2 * self.context_length if split == "train" else self.context_length + 1
        if tokens < needed:
            raise UserError(
                f"{path} holds {tokens:,} tokens, fewer than the {needed:,} that a context of "
                f"{self.context_length} needs: use more text or a smaller --model.context-length"
            )
        # All of a small file; of a large one 64 chunks, evenly spread: reading 10 GB would take half a minute.
        for start in range(0, tokens, CHUNK * max(1, tokens // (64 * CHUNK))):
            self._check_ids(split, np.fromfile(path, self.dtype, count=CHUNK, offset=start * self.dtype.itemsize))

    def _check_ids(self, split: str, ids: np.ndarray) -> None:
        if ids.max() >= self.vocab_size:
            raise UserError(
                f"{self._path(split)} holds token {ids.max()}, outside its vocabulary of {self.vocab_size}: "
                "prepare it again"
            )


def read_meta(folder: Path) -> dict:
    """meta.json of a tokens folder. Raises UserError where there is none that makes sense."""
    path = folder / "meta.json"
    if not path.is_file():
        raise UserError(
            f"{folder} is not a tokens folder (no meta.json): make one with python -m data.prepare FILES --out {folder}"
        )
    try:
        meta = json.loads(path.read_text(encoding="utf-8"))
        sizes = [meta[key] for key in ("vocab_size", "train_tokens", "train_documents", "val_tokens", "val_bytes")]
        if meta["dtype"] not in ("uint16", "uint32") or not all(isinstance(n, int) and n > 0 for n in sizes):
            raise ValueError
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path} is damaged: prepare the folder again") from None
    return meta


def shuffled(index: np.ndarray, n: int, keys: list[np.uint64]) -> np.ndarray:
    """Where the cards `index` of a deck of n lie after a shuffle: a permutation of 0 … n-1, chosen by `keys`.

    The deck is never laid out, so ten billion tokens cost no memory: a number's two halves are scrambled by
    turns, one as a function of the other, which can always be undone and so never sends two cards to one place
    (a Feistel network; Luby and Rackoff 1988). It permutes 4^k ≥ n numbers; a card that lands at n or
    beyond is sent on until it does not (cycle walking; Black and Rogaway 2002).
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
