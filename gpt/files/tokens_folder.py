"""A tokens folder, as `python -m data.prepare` writes it: train.bin, val.bin, a tokenizer, and meta.json about them."""

import json
import math
from pathlib import Path
from typing import Any, cast

import numpy as np

from gpt.dataset import CHUNK, Dataset
from gpt.errors import UserError


class TokensFolder:
    """Opens the folder and looks whether it is whole.

    meta: what meta.json says: sizes, sources, and the corpus's exact entropy where it is known. Raises UserError if the
    folder is not one, or if its files hold something else than meta.json speaks of.
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
        """The folder as numbered batches. Raises UserError if it is too small for such windows, or holds ids outside
        its own vocabulary (the batches do where those were not looked at here)."""
        for tokens, needed in ((self.train, 2 * context_length), (self.val, context_length + 1)):
            if len(tokens) < needed:
                raise UserError(
                    f"{tokens.path} holds {len(tokens):,} tokens, fewer than the {needed:,} that a context of "
                    f"{context_length} needs: use more text or a smaller --model.context-length"
                )
            # All of a small file; of a large one 64 chunks, evenly spread: reading 10 GB would take half a minute.
            for start in range(0, len(tokens), CHUNK * max(1, len(tokens) // (64 * CHUNK))):
                tokens[start : start + CHUNK]
        arrays = cast(np.ndarray, self.train), cast(np.ndarray, self.val)  # as far as a Dataset asks for
        return Dataset(*arrays, self.vocab_size - 1, context_length, batch_size, seed)

    def begins_documents(self, context_length: int) -> bool:
        """Whether most windows begin with a document, at the end-of-text token before it: they do where the mean
        document fits into a window."""
        return self.meta["train_tokens"] <= self.meta["train_documents"] * context_length

    def bits_per_byte(self, nats_per_token: float) -> float:
        """The validation loss in a unit that does not depend on the vocabulary."""
        return nats_per_token / math.log(2) * self.meta["val_tokens"] / self.meta["val_bytes"]


class MappedTokens:
    """A file of ids that is read like an array. It is mapped afresh for each look, because the pages of a map that
    stays open count as this process's memory more and more. Raises UserError if it is gone, or for an unknown id."""

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
        if not self.path.is_file() or self.path.stat().st_size != self.length * self.dtype.itemsize:
            raise UserError(
                f"{self.path} is missing or not the {self.length:,} tokens meta.json speaks of: prepare it again"
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
