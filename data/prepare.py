"""Turn text into a tokens folder: train.bin and val.bin for training, a tokenizer, and meta.json about them.

    python -m data.prepare book.txt --out data/book
    python -m data.prepare texts/ --out data/texts --vocab-size 4096
    python -m data.prepare other.txt --out data/other --tokenizer data/book

A text file is one document. A .jsonl file holds one {"text": ...} per line; an optional "bits" is -log2 of the text's
probability. In a .csv file, such as labelled examples, the column `text` is read. Files are read in pieces, so a
corpus may be larger than memory. The same files always give the same folder, byte for byte.
"""

import itertools
import json
import math
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, BinaryIO

import numpy as np
import tyro
from tqdm import tqdm

from data.documents import Document, cut_documents_of, documents_of, find_files, scan
from gpt.errors import UserError
from gpt.fast.bpe import train_bpe_with_heap
from gpt.files.atomic import explain_failure
from gpt.files.lock import LOCK_FILE, alone_in
from gpt.files.tokenizer_files import load_tokenizer, save_tokenizer
from gpt.running.command_line import parse_flags, run_main
from gpt.tokenizer import Tokenizer

BPE_SAMPLE = 16 << 20  # a tokenizer is trained on about this many bytes, sampled evenly from a larger corpus
SMALLEST_VALIDATION = 65  # tokens: a window of 64 and the token after it
OUR_FILES = {"train.bin", "val.bin", "vocab.json", "merges.txt", "meta.json"}


@dataclass(frozen=True)
class PrepareConfig:
    files: tyro.conf.Positional[tuple[Path, ...]]
    """text files, .jsonl and .csv files, and folders of them"""
    out: Path
    """the tokens folder to write, such as data/mine"""
    vocab_size: int = 1024
    """tokens in the vocabulary: 257 is bytes alone, GPT-2 has 50,257"""
    tokenizer: Path | None = None
    """use the tokenizer in this folder (of tokens or of a model) instead of training one"""
    val_fraction: float = 0.1
    """share for validation: whole documents if there are enough of them, else the end of each"""
    suffixes: Annotated[tuple[str, ...], tyro.conf.arg(metavar="SUFFIX ...")] = (".txt", ".md", ".jsonl")
    """which files of a folder to read"""
    overwrite: bool = False
    """replace a corpus of other texts in the output folder"""


class SplitWriter:
    """Appends documents to train.bin or val.bin, with the end-of-text token between them."""

    def __init__(self, file: BinaryIO, tokenizer: Tokenizer, dtype: np.dtype, bar: tqdm):
        self.file, self.tokenizer, self.dtype, self.bar = file, tokenizer, dtype, bar
        self.tokens = self.bytes = self.documents = 0
        self.bits: float | None = 0.0  # None once the bits of one document are unknown
        self.worlds: set[str | None] = set()

    def add(self, document: Document) -> None:
        if self.documents:
            self._write(np.array([self.tokenizer.end_of_text]))
        self.documents += 1
        self.bits = None if self.bits is None or document.bits is None else self.bits + document.bits
        self.worlds.add(document.world)
        for piece in document.pieces:
            self._write(self.tokenizer.encode_to_numpy(piece))
            size = len(piece.encode())
            self.bytes += size
            self.bar.update(size)

    def _write(self, ids: np.ndarray) -> None:
        self.file.write(ids.astype(self.dtype).tobytes())
        self.tokens += len(ids)


def prepare(config: PrepareConfig) -> dict:
    """Write the tokens folder `config.out` and return the contents of its meta.json. See PrepareConfig.

    Raises UserError if the corpus or the folder is not suitable. In that case nothing is written.
    """
    if not 0 < config.val_fraction <= 0.5:
        raise UserError(f"--val-fraction is {config.val_fraction}: it must be above 0 and at most 0.5")
    check_output(config.out)
    with alone_in(config.out):
        return read_and_write(config)


def read_and_write(config: PrepareConfig) -> dict:
    """What prepare does, while nobody else writes to the folder."""
    files = find_files(config.files, config.suffixes, config.out)
    with progress("reading", sum(path.stat().st_size for path, _ in files)) as bar:
        sources = [scan(path, name, bar) for path, name in files]
    described = [{"name": s.name, "bytes": s.bytes, "sha256": s.sha256} for s in sources]
    if not config.overwrite:
        check_corpus(config.out, described)
    total_bytes, total_documents = sum(s.bytes for s in sources), sum(s.documents for s in sources)
    if total_documents == 0:
        raise UserError(f"{sources[0].path} holds no text: there is nothing to learn from")
    share = config.val_fraction

    def splits() -> Iterator[tuple[str, Document]]:
        """Each document with its split; if there are few documents, the end of each belongs to validation."""
        number = 0
        for source in sources:
            if total_documents * share < 1:
                for beginning, end in cut_documents_of(source, share):
                    yield "train", beginning
                    yield "val", end
                continue
            for document in documents_of(source.path):
                number += 1
                is_held_back = int(number * share) > int((number - 1) * share)  # of 0.1: every tenth document
                yield ("val" if is_held_back else "train"), document

    def training_texts() -> Iterator[str]:
        pieces = (piece for split, document in splits() if split == "train" for piece in document.pieces)
        return itertools.islice(pieces, 0, None, math.ceil(total_bytes / BPE_SAMPLE))

    if config.tokenizer is not None:
        tokenizer = load_tokenizer(config.tokenizer)
    else:
        print(f"training a tokenizer of {config.vocab_size} tokens")
        tokenizer = Tokenizer.train(training_texts(), config.vocab_size, train_bpe_with_heap)
        if tokenizer.vocab_size < config.vocab_size:
            print(f"no pair of tokens occurs twice any more: the vocabulary has {tokenizer.vocab_size} tokens")

    with explain_failure(config.out):
        return write_files(config.out, tokenizer, splits(), total_bytes, described)


def write_files(
    out: Path, tokenizer: Tokenizer, documents: Iterator[tuple[str, Document]], total_bytes: int, described: list[dict]
) -> dict:
    """Write the tokens folder of documents, each given with its split, and return the contents of its meta.json.

    All files are first written to a temporary folder: a run that fails or is killed changes none of the old ones.
    """
    for left_over in out.glob(".prepare-*"):  # from a run that was killed
        shutil.rmtree(left_over, ignore_errors=True)
    temporary = Path(tempfile.mkdtemp(prefix=".prepare-", dir=out))
    try:
        dtype = np.dtype("<u2" if tokenizer.vocab_size <= 1 << 16 else "<u4")
        with (
            (temporary / "train.bin").open("wb") as train_file,
            (temporary / "val.bin").open("wb") as val_file,
            progress("encoding", total_bytes) as bar,
        ):
            train = SplitWriter(train_file, tokenizer, dtype, bar)
            val = SplitWriter(val_file, tokenizer, dtype, bar)
            for split, document in documents:
                (val if split == "val" else train).add(document)
        if val.tokens < SMALLEST_VALIDATION or train.tokens < SMALLEST_VALIDATION:
            raise UserError(
                f"the corpus is too small: {train.tokens} tokens for training and {val.tokens} for validation, "
                f"but one window needs {SMALLEST_VALIDATION}; use more text"
            )
        meta = {
            "dtype": dtype.name,
            "vocab_size": tokenizer.vocab_size,
            "train_tokens": train.tokens,
            "val_tokens": val.tokens,
            "train_bytes": train.bytes,
            "val_bytes": val.bytes,
            "train_documents": train.documents,
            "val_documents": val.documents,
            # Known for texts of the toy world, unknown for texts by people.
            "entropy_bits_per_byte": None if val.bits is None else val.bits / val.bytes,
            "world": (train.worlds | val.worlds).pop() if len(train.worlds | val.worlds) == 1 else None,
            "sources": described,
        }
        save_tokenizer(tokenizer, temporary)
        with (temporary / "meta.json").open("w", encoding="utf-8", newline="\n") as file:
            json.dump(meta, file, indent=2, ensure_ascii=False)
        for name in sorted(OUR_FILES - {"meta.json"}):
            (temporary / name).replace(out / name)
        (temporary / "meta.json").replace(out / "meta.json")  # last: it shows that the rest is complete
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return meta


def check_output(out: Path) -> None:
    if out.is_dir():
        ours = OUR_FILES | {LOCK_FILE}
        foreign = sorted(p.name for p in out.iterdir() if p.name not in ours and ".prepare-" not in p.name)
        if foreign:
            raise UserError(f"{out} already holds something else ({foreign[0]}): choose another --out")


def check_corpus(out: Path, sources: list[dict]) -> None:
    """Raises UserError if `out` holds a corpus of other texts: the user may no longer have them."""
    try:
        before = json.loads((out / "meta.json").read_text(encoding="utf-8"))["sources"]
        names = ", ".join(source["name"] for source in before[:3])
    except (OSError, ValueError, KeyError, TypeError):  # missing or damaged: not a usable corpus
        return
    if before != sources:
        raise UserError(
            f"{out} holds a corpus of other texts ({names}): choose another --out, or replace it with --overwrite"
        )


def progress(what: str, total_bytes: int) -> tqdm:
    """A progress bar that appears if the work takes longer than half a second."""
    return tqdm(total=total_bytes, desc=what, unit="B", unit_scale=True, delay=0.5)


def main() -> None:
    config = parse_flags(lambda: tyro.cli(PrepareConfig, description=__doc__))
    meta = prepare(config)
    for split in ("train", "val"):
        print(f"{config.out / split}.bin  {meta[f'{split}_tokens']:>12,} tokens  {meta[f'{split}_bytes']:>12,} bytes")


if __name__ == "__main__":
    run_main(main)
