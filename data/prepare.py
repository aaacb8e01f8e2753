"""Any text to a tokens folder: train.bin and val.bin for training, a tokenizer, and meta.json about them.

    python -m data.prepare book.txt --out data/book
    python -m data.prepare texts/ --out data/texts --vocab-size 4096
    python -m data.prepare other.txt --out data/other --tokenizer data/book

A text file is one document; a .jsonl file holds one {"text": ...} a line, and of a .csv file, such as labelled
examples, the column `text` is taken. Files are read in pieces, so a corpus may
be larger than memory. The same files always give the same folder, byte for byte.
"""

import codecs
import hashlib
import json
import math
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, BinaryIO, TextIO

import numpy as np
import tyro
from tqdm import tqdm

from gpt.errors import UserError, parse, run_main
from gpt.labelled import read_rows
from gpt.tokenizer import Tokenizer

PIECE = 1 << 20  # characters, or bytes, read at a time
BPE_SAMPLE = 16 << 20  # a tokenizer is trained on about so many bytes, taken evenly from a larger corpus
SMALLEST_VALIDATION = 65  # tokens: a window of 64 and the one that follows
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
    """share kept for validation: whole documents where there are several, else the end of the text"""
    suffixes: Annotated[tuple[str, ...], tyro.conf.arg(metavar="SUFFIX ...")] = (".txt", ".md", ".jsonl")
    """which files of a folder to take"""


@dataclass(frozen=True)
class Source:
    """A file of the corpus, read once from end to end."""

    path: Path
    name: str  # as meta.json gives it: without the folders that only this machine has
    bytes: int
    characters: int
    documents: int
    sha256: str


def find_files(paths: tuple[Path, ...], suffixes: tuple[str, ...]) -> list[tuple[Path, str]]:
    """Each file to read with the name to remember it by, in an order that is the same everywhere."""
    found = []
    for path in paths:
        if path.is_dir():
            inside = sorted((p.relative_to(path).as_posix(), p) for p in path.rglob("*") if p.suffix in suffixes)
            found += [(p, name) for name, p in inside if p.is_file() and p.stat().st_size > 0]
            if not inside:
                raise UserError(f"{path} holds no file that ends in {' '.join(suffixes)}: try --suffixes")
        elif not path.is_file():
            raise UserError(f"{path} does not exist")
        elif path.stat().st_size == 0:
            raise UserError(f"{path} is empty: there is nothing to learn from")
        else:
            found.append((path, path.name))
    if not found:
        raise UserError("no text given: name at least one file or folder that is not empty")
    return found


def scan(path: Path, name: str, bar: tqdm) -> Source:
    """Read a file once: that it is UTF-8, how long it is, how many documents it holds, and its hash."""
    digest, decoder = hashlib.sha256(), codecs.getincrementaldecoder("utf-8")()
    size = characters = 0
    with path.open("rb") as file:
        while data := file.read(PIECE):
            waiting = len(decoder.getstate()[0])  # bytes of a character that the last piece cut in two
            try:
                characters += len(decoder.decode(data))
            except UnicodeDecodeError as error:
                raise not_utf8(path, size - waiting + error.start) from None
            digest.update(data)
            size += len(data)
            bar.update(len(data))
    if waiting := len(decoder.getstate()[0]):
        raise not_utf8(path, size - waiting)
    documents = sum(1 for _ in documents_of(path)) if path.suffix in (".jsonl", ".csv") else 1
    return Source(path, name, size, characters, documents, digest.hexdigest())


def not_utf8(path: Path, offset: int) -> UserError:
    return UserError(f"{path} is not UTF-8 text: see byte {offset:,}. Save it as UTF-8, or leave it out")


def documents_of(path: Path) -> Iterator[Iterator[str]]:
    """The documents of a file, each as an iterator over its text in pieces that can be tokenized one by one."""
    if path.suffix == ".csv":
        yield from (iter([row["text"]]) for _, row in read_rows(path, ("text",)) if row["text"])
        return
    with path.open(encoding="utf-8-sig", newline="") as file:  # "-sig" drops the mark some editors put first
        if path.suffix != ".jsonl":
            yield pieces_of(file)
            return
        for number, line in enumerate(file, start=1):
            try:
                text = json.loads(line)["text"]
                if not isinstance(text, str):
                    raise TypeError
            except (ValueError, KeyError, TypeError):
                raise UserError(f'{path}, line {number}: expected an object like {{"text": "..."}}') from None
            if text:
                yield iter([text])


def pieces_of(file: TextIO, characters: float = math.inf) -> Iterator[str]:
    """The next `characters` of a file in pieces of about PIECE, cut so that tokenizing them one by one gives the
    ids of the whole: before white space, where no word of the tokenizer's pattern goes on. (Where there is none
    for 8 pieces, the cut falls where it falls.)"""
    rest = ""
    while text := file.read(int(min(PIECE, characters))):
        characters -= len(text)
        text = rest + text
        cut = len(text) - 1
        while cut > 0 and not (text[cut] in " \n" and not text[cut - 1].isspace()):
            cut -= 1
        if cut == 0 and len(text) >= 8 * PIECE:
            cut = len(text)
        if cut > 0:
            yield text[:cut]
        rest = text[cut:]
    if rest:
        yield rest


class SplitWriter:
    """Appends documents to train.bin or val.bin, with the end-of-text token between them."""

    def __init__(self, file: BinaryIO, tokenizer: Tokenizer, dtype: np.dtype, bar: tqdm):
        self.file, self.tokenizer, self.dtype, self.bar = file, tokenizer, dtype, bar
        self.tokens = self.bytes = self.documents = 0

    def add(self, pieces: Iterator[str]) -> None:
        if self.documents:
            self._write(np.array([self.tokenizer.end_of_text]))
        self.documents += 1
        for piece in pieces:
            self._write(self.tokenizer.encode_to_numpy(piece))
            size = len(piece.encode())
            self.bytes += size
            self.bar.update(size)

    def _write(self, ids: np.ndarray) -> None:
        self.file.write(ids.astype(self.dtype).tobytes())
        self.tokens += len(ids)


def prepare(config: PrepareConfig) -> dict:
    """Write the tokens folder `config.out`; returns what its meta.json says. See PrepareConfig.

    Raises UserError where the corpus or the folder will not do; then nothing has been written.
    """
    if not 0 < config.val_fraction < 1:
        raise UserError(f"--val-fraction is {config.val_fraction}: it must lie between 0 and 1")
    check_output(config.out)
    files = find_files(config.files, config.suffixes)
    with progress("reading", sum(path.stat().st_size for path, _ in files)) as bar:
        sources = [scan(path, name, bar) for path, name in files]
    total_bytes, total_documents = sum(s.bytes for s in sources), sum(s.documents for s in sources)
    if total_documents == 0 or (total_documents == 1 and sources[0].path.suffix in (".jsonl", ".csv")):
        raise UserError(f"{sources[0].path} holds {total_documents} documents: at least 2 are needed to keep one apart")
    # Every `stride`-th document is for validation; of a single one, what lies behind `head` characters.
    stride = max(2, min(round(1 / config.val_fraction), total_documents))
    head = int(sources[0].characters * (1 - config.val_fraction))

    def splits() -> Iterator[tuple[str, Iterator[str]]]:
        """Every document, or part of the only one, with the split it belongs to."""
        if total_documents == 1:
            with sources[0].path.open(encoding="utf-8-sig", newline="") as file:
                yield "train", pieces_of(file, head)
                yield "val", pieces_of(file)
            return
        number = 0
        for source in sources:
            for pieces in documents_of(source.path):
                number += 1
                yield ("val" if number % stride == 0 else "train"), pieces

    def training_texts() -> Iterator[str]:
        every = math.ceil(total_bytes / BPE_SAMPLE)
        number = 0
        for split, pieces in splits():
            for piece in pieces:
                number += 1
                if split == "train" and number % every == 0:
                    yield piece

    if config.tokenizer is not None:
        tokenizer = Tokenizer.load(config.tokenizer)
    else:
        print(f"training a tokenizer of {config.vocab_size} tokens")
        tokenizer = Tokenizer.train(training_texts(), config.vocab_size)
        if tokenizer.vocab_size < config.vocab_size:
            print(f"no neighbours occur twice any more: the vocabulary has {tokenizer.vocab_size} tokens")

    # All is written beside the folder's files first: a run that fails or is killed changes none of them.
    is_new = not config.out.exists()
    config.out.mkdir(parents=True, exist_ok=True)
    for left_over in config.out.glob(".prepare-*"):  # by a run that was killed
        shutil.rmtree(left_over, ignore_errors=True)
    temporary = Path(tempfile.mkdtemp(prefix=".prepare-", dir=config.out))
    try:
        dtype = np.dtype("<u2" if tokenizer.vocab_size <= 1 << 16 else "<u4")
        with (
            (temporary / "train.bin").open("wb") as train_file,
            (temporary / "val.bin").open("wb") as val_file,
            progress("encoding", total_bytes) as bar,
        ):
            train = SplitWriter(train_file, tokenizer, dtype, bar)
            val = SplitWriter(val_file, tokenizer, dtype, bar)
            for split, pieces in splits():
                (val if split == "val" else train).add(pieces)
        if val.tokens < SMALLEST_VALIDATION or train.tokens < SMALLEST_VALIDATION:
            raise UserError(
                f"the corpus is too small: {train.tokens} tokens to train on and {val.tokens} to validate, "
                f"but one window takes {SMALLEST_VALIDATION}; use more text"
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
            "entropy_bits_per_byte": None,  # nobody knows it for text that people wrote
            "sources": [{"name": s.name, "bytes": s.bytes, "sha256": s.sha256} for s in sources],
        }
        tokenizer.save(temporary)
        with (temporary / "meta.json").open("w", encoding="utf-8", newline="\n") as file:
            json.dump(meta, file, indent=2, ensure_ascii=False)
        for name in sorted(OUR_FILES - {"meta.json"}):
            (temporary / name).replace(config.out / name)
        (temporary / "meta.json").replace(config.out / "meta.json")  # last: it vouches for the rest
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if is_new and not any(config.out.iterdir()):
            config.out.rmdir()
    return meta


def check_output(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file: --out names a folder to write")
    if out.is_dir():
        foreign = sorted(p.name for p in out.iterdir() if p.name not in OUR_FILES and ".prepare-" not in p.name)
        if foreign:
            raise UserError(f"{out} already holds something else ({foreign[0]}): give --out a folder of its own")


def progress(what: str, total_bytes: int) -> tqdm:
    """A bar that shows itself where the work takes longer than half a second."""
    return tqdm(total=total_bytes, desc=what, unit="B", unit_scale=True, delay=0.5)


def main() -> None:
    config = parse(lambda: tyro.cli(PrepareConfig, description=__doc__))
    meta = prepare(config)
    for split in ("train", "val"):
        print(f"{config.out / split}.bin  {meta[f'{split}_tokens']:>12,} tokens  {meta[f'{split}_bytes']:>12,} bytes")


if __name__ == "__main__":
    run_main(main)
