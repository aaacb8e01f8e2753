"""Find and check the files of a corpus, and read them as documents, in pieces that fit in memory."""

import codecs
import hashlib
import io
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TextIO

from tqdm import tqdm

from data.world.bilingual import BOTH
from data.world.story import LANGUAGES
from gpt.errors import UserError
from gpt.files.encodings import encoding_of
from gpt.files.tables import holds_rows, read_rows, whole_characters

PIECE = 1 << 20  # characters, or bytes, read at a time
MOST_BITS = 1e15  # of one text; JSON also knows Infinity, NaN and numbers of a thousand digits


@dataclass(frozen=True)
class Source:
    """A file of the corpus, read once from end to end."""

    path: Path
    name: str  # as in meta.json: without the folders that exist only on this machine
    bytes: int
    characters: int
    documents: int
    sha256: str


def find_files(paths: tuple[Path, ...], suffixes: tuple[str, ...], out: Path) -> list[tuple[Path, str]]:
    """The files to read, each with its name for meta.json, in the same order on every machine. Files in `out`, the
    output folder, are skipped: it may be inside a folder of texts, and it holds a merges.txt on the second run."""
    found = []
    endings = {"." + suffix.lower().removeprefix(".") for suffix in suffixes}
    for path in paths:
        if path.is_dir():
            inside = sorted((p.relative_to(path).as_posix(), p) for p in path.rglob("*") if p.suffix.lower() in endings)
            inside = [(name, p) for name, p in inside if out.resolve() not in p.resolve().parents]
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
    """Read a file once: check that it is text, measure it, count its documents and hash it."""
    encoding = encoding_of(path).removesuffix("-sig")  # a mark would shift the place of an error
    digest, decoder = hashlib.sha256(), codecs.getincrementaldecoder(encoding)()
    size = characters = 0
    with path.open("rb") as file:
        while data := file.read(PIECE):
            waiting = len(decoder.getstate()[0])  # bytes of a character that the last piece cut in two
            try:
                characters += len(decoder.decode(data))
            except UnicodeDecodeError as error:
                raise not_text(path, size - waiting + error.start, encoding) from None
            digest.update(data)
            size += len(data)
            bar.update(len(data))
    if waiting := len(decoder.getstate()[0]):
        raise not_text(path, size - waiting, encoding)
    documents = sum(1 for _ in documents_of(path)) if holds_rows(path) else 1
    return Source(path, name, size, characters, documents, digest.hexdigest())


def not_text(path: Path, offset: int, encoding: str) -> UserError:
    name = "UTF-16" if encoding == "utf-16" else "UTF-8"
    return UserError(f"{path} is not {name} text: see byte {offset:,}. Save it as UTF-8, or leave it out")


class Document(NamedTuple):
    pieces: Iterator[str]  # its text, in pieces that can be tokenized one by one
    bits: float | None = None  # -log2 of its probability, if known
    world: str | None = None  # its language, if it comes from the toy world


def documents_of(path: Path) -> Iterator[Document]:
    """The documents of a file, one after the other."""
    if path.suffix.lower() == ".csv":
        yield from (Document(iter([row["text"]])) for _, row in read_rows(path, ("text",)) if row["text"])
        return
    with path.open(encoding=encoding_of(path), newline="") as file:
        if path.suffix.lower() != ".jsonl":
            yield Document(pieces_of(file))
            return
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                text, bits = row["text"], row.get("bits")
                if not isinstance(text, str):
                    raise TypeError
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                raise UserError(f'{path}, line {number}: expected an object like {{"text": "..."}}') from None
            is_number = isinstance(bits, float | int) and not isinstance(bits, bool)
            if bits is not None and not (is_number and 0 <= bits < MOST_BITS):
                raise UserError(f'{path}, line {number}: "bits" is {str(bits)[:20]}: it must be a number from 0 up')
            if text:
                known = (*LANGUAGES, BOTH)  # others may use that key too
                world = row.get("world") if row.get("world") in known else None
                yield Document(iter([whole_characters(text)]), bits, world)


def cut_documents_of(source: Source, share: float) -> Iterator[tuple[Document, Document]]:
    """Each document of a file as two: the beginning, to be read first, and the last `share` of its characters."""
    if not holds_rows(source.path):
        with source.path.open(encoding=encoding_of(source.path), newline="") as file:
            yield Document(pieces_of(file, int(source.characters * (1 - share)))), Document(pieces_of(file))
        return
    for document in documents_of(source.path):
        text = "".join(document.pieces)
        file = io.StringIO(text)
        beginning, end = pieces_of(file, int(len(text) * (1 - share))), pieces_of(file)
        yield Document(beginning, world=document.world), Document(end, world=document.world)


def pieces_of(file: TextIO, characters: float = math.inf) -> Iterator[str]:
    """The next `characters` of a file in pieces of about PIECE. Each cut is before white space, where no word of the
    tokenizer's pattern continues, so tokenizing the pieces one by one gives the ids of the whole. (If 8 pieces
    contain no such place, the cut is at their end.)"""
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
