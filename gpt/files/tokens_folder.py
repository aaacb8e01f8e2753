"""A tokens folder, as written by `python -m data.prepare`: train.bin, val.bin, a tokenizer, and their meta.json."""

import json
import math
from pathlib import Path
from typing import Any, cast

import numpy as np

from gpt.dataset import CHUNK, Dataset
from gpt.errors import UserError


class TokensFolder:
    """Open a tokens folder and check that it is complete.

    meta: the content of meta.json: sizes, sources, and the exact entropy of the corpus if it is known. Raises UserError
    if it is not a tokens folder, or if its files do not match meta.json.
    """

    def __init__(self, folder: Path | str):
        self.folder = Path(folder)
        self.meta = read_meta(self.folder)
        self.vocab_size: int = self.meta["vocab_size"]
        dtype = np.dtype(self.meta["dtype"]).newbyteorder("<")
        self.train, self.val = (
            MappedTokens(self.folder / f"{split}.bin", self.meta[f"{split}_tokens"], dtype, self.vocab_size)
            for split in ("train", "val")
        )

    def dataset(self, context_length: int, batch_size: int, seed: int = 0) -> Dataset:
        """The folder as numbered batches of `batch_size` windows of `context_length` tokens. Raises UserError if it has
        too few tokens, or ids outside its vocabulary (ids that are not checked here are checked in their batch)."""
        for tokens, needed in ((self.train, 2 * context_length), (self.val, context_length + 1)):
            if len(tokens) < needed:
                raise UserError(
                    f"{tokens.path} holds {len(tokens):,} tokens, fewer than the {needed:,} that a context of "
                    f"{context_length} needs: use more text or a smaller --model.context-length"
                )
            # Check a small file completely, but only 64 evenly spaced chunks of a large one: 10 GB take half a minute.
            for start in range(0, len(tokens), CHUNK * max(1, len(tokens) // (64 * CHUNK))):
                tokens[start : start + CHUNK]
        arrays = cast(np.ndarray, self.train), cast(np.ndarray, self.val)  # they have what a Dataset needs
        return Dataset(*arrays, self.vocab_size - 1, context_length, batch_size, seed)

    def begins_documents(self, context_length: int) -> bool:
        """Whether most windows begin where a document begins, with the end-of-text token before it. They do if the mean
        document fits into a window."""
        return self.meta["train_tokens"] <= self.meta["train_documents"] * context_length

    def bits_per_byte(self, nats_per_token: float) -> float:
        """Convert a validation loss to bits per byte, a unit that does not depend on the vocabulary."""
        return nats_per_token / math.log(2) * self.meta["val_tokens"] / self.meta["val_bytes"]


class MappedTokens:
    """A file of token ids that is read like an array. Each access maps the file anew, because the pages of a map that
    stays open add up in this process's memory. Raises UserError if the file is missing or has another size, or for an
    id outside the vocabulary."""

    def __init__(self, path: Path, length: int, dtype: np.dtype, vocab_size: int):
        self.path, self.length, self.dtype, self.vocab_size = path, length, dtype, vocab_size
        self.check_size()

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, places: Any) -> np.ndarray:
        self.check_size()
        ids = np.memmap(self.path, dtype=self.dtype, mode="r")[places]
        if ids.size and ids.max() >= self.vocab_size:
            raise UserError(
                f"{self.path} holds token {ids.max()}, outside its vocabulary of {self.vocab_size}: prepare it again"
            )
        return ids

    def check_size(self) -> None:
        """Raises UserError if the file is missing or has another size than meta.json lists."""
        if not self.path.is_file() or self.path.stat().st_size != self.length * self.dtype.itemsize:
            raise UserError(
                f"{self.path} is missing or not the {self.length:,} tokens that meta.json lists: prepare it again"
            )


def read_meta(folder: Path) -> dict:
    """Read the meta.json of a tokens folder. Raises UserError if it is missing or damaged."""
    path = folder / "meta.json"
    if folder.is_file():
        words = (f'"{word}"' if " " in word else word for word in (str(folder), f"data/{folder.stem}"))
        command = "python -m data.prepare {} --out {}".format(*words)
        raise UserError(f"{folder} is a file, not a tokens folder: make one of it with {command}, and give that folder")
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
