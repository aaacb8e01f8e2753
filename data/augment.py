"""Make more training examples from labelled texts: a new data folder, for finetune.py.

    python -m data.augment --data data/reviews --how synonyms --out data/reviews-synonyms
    python -m data.augment --data data/reviews --how retell --copies 4 --out data/reviews-retold
    python -m data.augment --data data/reviews --labels 125 --how add --file sure.jsonl --out data/reviews-sure

synonyms exchanges words within the groups of synonyms.txt, which lies beside the data, or which --file names. It holds
one group on each line, with commas between the words; you answer for the labels staying right. retell is for reviews of
the toy world: it reads what they mean and says the same in other words. add takes labelled texts from a file, such as
those that finetune.py predict labelled with confidence (pseudo-labels).

The validation and test split are copied as they are, and no new text is one of theirs, or is there twice.
"""

import csv
import io
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from data.default import make_default_data
from data.world.recorder import Draw
from data.world.retelling import retell, understand
from gpt.errors import UserError
from gpt.files.atomic import make_folder, write_text
from gpt.files.encodings import read_user_text
from gpt.finetuning.labelled import SPLITS, Example, find_split, read_examples, read_splits, take_count
from gpt.finetuning.synonyms import SYNONYMS, read_synonyms
from gpt.running.command_line import parse_flags, run_main


@dataclass(frozen=True)
class AugmentConfig:
    data: Path
    """labelled texts, as finetune.py takes them: a folder, or one file that is split here as there"""
    out: Path
    """the folder for train.csv, val.csv and test.csv"""
    how: Literal["synonyms", "retell", "add"] = "synonyms"
    """how new texts are made"""
    copies: int = 2
    """new texts for each training text; fewer where they would repeat"""
    labels: int | None = None
    """start from only this many training examples, the same as with finetune.py --labels"""
    share: float = 0.5
    """with synonyms: the share of a text's known words that is exchanged, but at least one"""
    file: Path | None = None
    """with synonyms: the groups of words; with add: the labelled texts"""
    split_seed: int = 0
    """as in finetune.py"""
    seed: int = 0
    """another seed makes other texts"""
    overwrite: bool = False
    """replace existing files"""

    def __post_init__(self) -> None:
        if self.copies < 1:
            raise UserError(f"--copies is {self.copies}: it must be at least 1")
        if not 0 <= self.share <= 1:
            raise UserError(f"--share is {self.share}: it must be from 0 to 1")
        if (self.how == "add") > (self.file is not None) or (self.how == "retell" and self.file):
            raise UserError("--file names the labelled texts that --how add takes, or the groups of words of synonyms")


def augment(config: AugmentConfig) -> dict[str, list[Example]]:
    """Write the new folder; returns its splits. Raises UserError for a mistake that the user can correct."""
    if config.out.resolve() == config.data.resolve():
        raise UserError(f"--out {config.out} is the folder of the data: choose another one")
    for split in SPLITS:
        if config.out.is_dir() and (present := find_split(config.out, split)) and not config.overwrite:
            raise UserError(f"{present} already exists: choose another --out or use --overwrite")
    make_default_data("classification", config.data)
    words = synonyms_beside(config.data)
    groups = read_user_text(words) if words.is_file() else ""  # a damaged file is refused before anything is written
    splits = read_splits(config.data, config.split_seed, read_examples, stratify=True)
    splits["train"] = take_count(splits["train"], config.labels, config.split_seed, config.data, stratify=True)
    seen = {example.text for examples in splits.values() for example in examples}
    new = []
    for example in make_examples(config, splits["train"]):
        if example.text not in seen:
            seen.add(example.text)
            new.append(example)
    if not new:
        raise UserError(f"--how {config.how} makes no new text of those in {config.data}: nothing is written")
    splits["train"] = [*splits["train"], *new]
    make_folder(config.out)
    for split in reversed(SPLITS):  # train.csv last: if it exists, so do the others
        (config.out / f"{split}.jsonl").unlink(missing_ok=True)
        write_text(config.out / f"{split}.csv", as_csv(splits[split]))
    if groups:
        write_text(config.out / SYNONYMS, groups)
    return splits


def make_examples(config: AugmentConfig, train: list[Example]) -> Iterator[Example]:
    """New training examples; some may repeat others."""
    if config.how == "add":
        assert config.file is not None
        known = {example.label for example in train}
        for example in read_examples(config.file):
            if example.label not in known:
                raise UserError(f"{config.file} has the label {example.label!r}, which training never had")
            yield example
        return
    synonyms = read_synonyms(config.file or synonyms_beside(config.data)) if config.how == "synonyms" else None
    for number, example in enumerate(train):
        meaning = None if synonyms else understand(example.text)
        if not synonyms and not meaning:
            raise UserError(
                f"--how retell can read only reviews of the toy world, and this is none: {example.text[:60]!r}; "
                "for your own texts use --how synonyms"
            )
        for copy in range(config.copies):
            key = f"{config.seed} {config.how} {number} {copy}"
            if meaning:
                yield Example(retell(meaning, Draw(key)), example.label)
            elif synonyms:
                yield Example(synonyms.exchange(example.text, config.share, random.Random(key)), example.label)


def synonyms_beside(data: Path) -> Path:
    """Where the groups of words are that belong to a folder of texts, or to a file of them. There may be none."""
    return (data if data.is_dir() else data.parent) / SYNONYMS


def as_csv(examples: list[Example]) -> str:
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(["text", "label"])
    writer.writerows((example.text, example.label) for example in examples)
    return lines.getvalue()


def main() -> None:
    config = parse_flags(lambda: tyro.cli(AugmentConfig, prog="python -m data.augment", description=__doc__))
    splits = augment(config)
    print(f"{config.out}: " + ", ".join(f"{split}.csv {len(examples):,}" for split, examples in splits.items()))


if __name__ == "__main__":
    run_main(main)
