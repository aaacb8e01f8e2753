"""Make the toy world's texts.

    python -m data.world stories --out data/stories --megabytes 10
    python -m data.world reviews --out data/reviews --difficulty hard
    python -m data.world tasks --kind qa --out data/qa
    python -m data.world patterns --out data/patterns.jsonl

The same command writes the same bytes on every machine.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from data.world.patterns import write_patterns
from data.world.reviews import TOPICS, write_reviews
from data.world.tasks.writing import write_task
from data.world.writing import stories_file, write_stories
from gpt.errors import UserError
from gpt.running.command_line import parse_flags, run_main


@dataclass(frozen=True)
class Stories:
    """Short stories for pretraining, with their exact probability."""

    out: Path
    """a .jsonl file, or a folder to write stories.jsonl in; the sum of the bits is written beside it"""
    count: int | None = None
    """stop after this many stories"""
    megabytes: float | None = None
    """or after this many million bytes of text (10 if neither is given)"""
    seed: int = 1
    """another seed gives other stories"""
    start: int = 0
    """number of the first story: sets that must not overlap start far apart"""
    language: Literal["en", "zh", "both"] = "en"
    """English, Chinese, or each story in both, to learn translating from"""
    planted_bias: int = 50
    """percent of those who want to be a doctor, a pilot, an engineer, a driver, a carpenter or a builder that are boys,
    and of those who want to be a teacher, a dancer, a writer, a tailor, a poet or a vet that are girls; 50 is fair"""
    overwrite: bool = False
    """replace an existing file"""

    def run(self) -> None:
        if self.count is not None and self.megabytes is not None:
            raise UserError("--count and --megabytes both say when to stop: give one")
        if (self.count is not None and self.count < 1) or (self.megabytes is not None and not self.megabytes > 0):
            raise UserError("--count and --megabytes must be more than 0")
        if self.start < 0:
            raise UserError(f"--start is {self.start}: stories are numbered from 0")
        if not 1 <= self.planted_bias <= 99:
            raise UserError(f"--planted-bias is {self.planted_bias}: it is a whole number of percent, from 1 to 99")
        file = stories_file(self.out, self.overwrite)
        megabytes = self.megabytes if self.count else self.megabytes or 10.0
        total = write_stories(
            file,
            seed=self.seed,
            language=self.language,
            start=self.start,
            count=self.count,
            megabytes=megabytes,
            planted_bias=self.planted_bias,
        )
        print(
            f"{file}: {total['documents']:,} stories, {total['bytes']:,} bytes, "
            f"entropy {total['bits_per_byte']:.4f} bits per byte"
        )


@dataclass(frozen=True)
class Reviews:
    """Reviews of films, meals, toys and places for fine-tuning, labelled negative, neutral or positive."""

    out: Path
    """the folder for train.csv, val.csv and test.csv"""
    count: int = 10_000
    """number of reviews: eight tenths for training, one for validation, one for testing"""
    difficulty: Literal["easy", "hard"] = "hard"
    """easy: the words show the label; hard: only the meaning of the sentences does"""
    seed: int = 1
    """another seed gives other reviews"""
    language: Literal["en", "zh"] = "en"
    """English or Chinese"""
    topics: tuple[Literal["film", "meal", "toy", "place"], ...] = TOPICS
    """what the reviews are about: with some for training and others for finetune.py test, see what carries over"""
    overwrite: bool = False
    """replace existing files"""

    def run(self) -> None:
        if self.count < 30:
            raise UserError(f"--count is {self.count}: three splits of three labels need at least 30")
        if not self.topics:
            raise UserError("--topics names none: give some of film, meal, toy, place, or leave it out")
        for split in ("train", "val", "test"):
            if (self.out / f"{split}.csv").exists() and not self.overwrite:
                raise UserError(f"{self.out / split}.csv already exists: choose another --out or use --overwrite")
        sizes = write_reviews(self.out, self.count, self.difficulty, self.seed, self.language, self.topics)
        print(f"{self.out}: " + ", ".join(f"{split}.csv {size:,}" for split, size in sizes.items()))


@dataclass(frozen=True)
class Tasks:
    """Questions, translations, dialogues and more about stories, whose answers are known (data/world/tasks)."""

    out: Path
    """the folder for train.jsonl, val.jsonl, test.jsonl and world.json"""
    kind: Literal[
        "qa", "translation", "summary", "dialogue", "entities", "relations", "inference", "topics", "stars", "control"
    ]
    """what is asked about a story"""
    language: Literal["en", "zh", "both"] | None = None
    """the language of the prompts; if it is not given, en, and both for translation"""
    count: int = 10_000
    """number of rows: eight tenths for training, one for validation, one for testing"""
    seed: int = 1
    """another seed gives other rows"""
    overwrite: bool = False
    """replace existing files"""

    def run(self) -> None:
        if self.count < 10:
            raise UserError(f"--count is {self.count}: three splits need at least 10")
        language = self.language or ("both" if self.kind == "translation" else "en")
        sizes = write_task(self.out, self.kind, language, self.seed, self.count, self.overwrite)
        print(f"{self.out}: " + ", ".join(f"{split}.jsonl {size:,}" for split, size in sizes.items()))


@dataclass(frozen=True)
class Patterns:
    """Short lists in which only the lines before tell a word's colour: material to learn in-context learning from."""

    out: Path
    """a .jsonl file, or a folder to write patterns.jsonl in"""
    megabytes: float = 4.0
    """stop after this many million bytes of text"""
    seed: int = 1
    """another seed gives other documents"""
    kind: Literal["pairs", "kinds", "both"] = "pairs"
    """pairs: each word keeps its colour; kinds: all animals, all jobs and so on have one, which is harder to learn"""
    overwrite: bool = False
    """replace an existing file"""

    def run(self) -> None:
        if not 0 < self.megabytes < math.inf:
            raise UserError(f"--megabytes is {self.megabytes}: it must be more than 0")
        file = self.out if self.out.suffix == ".jsonl" else self.out / "patterns.jsonl"
        if file.exists() and not self.overwrite:
            raise UserError(f"{file} already exists: choose another --out or use --overwrite")
        total = write_patterns(file, self.megabytes, self.seed, None if self.kind == "both" else self.kind)
        print(
            f"{file}: {total['documents']:,} documents, {total['bytes']:,} bytes, "
            f"entropy {total['bits'] / total['bytes']:.4f} bits per byte"
        )


def main() -> None:
    parse_flags(
        lambda: tyro.cli(Stories | Reviews | Tasks | Patterns, prog="python -m data.world", description=__doc__)
    ).run()


if __name__ == "__main__":
    run_main(main)
