"""Labelled text: CSV with the columns `text` and `label`, or JSONL with those keys, in three splits.

A folder holds train.csv and, optionally, val.csv and test.csv (or .jsonl). A missing split is taken from the training
examples: the seed selects them, and each label keeps its share (stratified).
"""

import math
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gpt.errors import UserError
from gpt.files.tables import read_rows

SPLITS = ("train", "val", "test")
TAKEN = 0.1  # fraction of the training examples that a missing split receives
LARGEST = 1e30  # limit for regression labels, and for 1 / their range: weights are float32


@dataclass(frozen=True)
class Example:
    """A text and its label, as the file has them."""

    text: str
    label: str


def read_splits(data: Path, seed: int, read: Callable[[Path], list], stratify: bool = False) -> dict[str, list]:
    """The examples of "train", "val" and "test", from a folder or from one file that is split here. read: reads the
    examples of one file, such as read_examples.

    Raises UserError if files are missing, as `read` does, or if there are too few examples to split.
    """
    if not data.exists():
        raise UserError(f"{data} does not exist")
    if data.is_dir():
        files = {split: find_split(data, split) for split in SPLITS}
    else:
        files = {"train": data, "val": None, "test": None}
    if files["train"] is None or not files["train"].is_file():
        raise UserError(f"{data} holds no train.csv or train.jsonl, and is not such a file itself")
    splits = {split: read(path) for split, path in files.items() if path is not None}
    for split in ("test", "val"):
        if split not in splits:
            splits["train"], splits[split] = take_share(splits["train"], TAKEN, f"{seed} {split}", data, stratify)
    return splits


def find_split(folder: Path, split: str) -> Path | None:
    """FOLDER/split.csv or FOLDER/split.jsonl, or None. Raises UserError if both exist."""
    paths = [folder / f"{split}{suffix}" for suffix in (".csv", ".jsonl") if (folder / f"{split}{suffix}").is_file()]
    if len(paths) > 1:
        raise UserError(f"{folder} holds both {split}.csv and {split}.jsonl: remove one of them")
    return paths[0] if paths else None


def read_examples(path: Path) -> list[Example]:
    """The examples of one file, in file order, without white space around texts and labels.

    Raises UserError if the file is damaged, holds no examples, or a text or label is empty.
    """
    examples = []
    for line, row in read_rows(path, ("text", "label")):
        for name in ("text", "label"):
            if not row[name]:
                raise UserError(f"{path}, line {line}: the {name} is empty: fill it in or remove the line")
        examples.append(Example(row["text"], row["label"]))
    if not examples:
        raise UserError(f"{path} holds no examples")
    return examples


def take_share(examples: list, share: float, key: str, data: Path, stratify: bool = True) -> tuple[list, list]:
    """Split off `share` of the examples: (the rest, the part taken). Both parts keep the original order.

    stratify: each label has about the same share in both parts, and a label's only example stays in the rest. The
    numbers of a regression may all differ, and answers have no labels: these are not stratified. The choice depends
    only on the key and on the examples: they are shuffled, sorted by label, and taken at equal distances (systematic
    sampling; Madow and Madow 1944). Raises UserError if there are too few examples.
    """
    rng = random.Random(key)
    candidates = rng.sample(range(len(examples)), len(examples))
    if stratify:
        counts = Counter(example.label for example in examples)
        candidates = [i for i in candidates if counts[examples[i].label] > 1]
        candidates.sort(key=lambda i: examples[i].label)
        if not candidates:
            raise UserError(f"{data} has a label of its own for each example (for numbers there is --task regression)")
    count = min(round(len(examples) * share), len(candidates))
    if not 0 < count < len(examples):
        raise UserError(
            f"{data} holds too few examples to select a part of them: add more, or provide all three splits"
        )
    start = rng.random()
    taken = {candidates[int((k + start) * len(candidates) / count)] for k in range(count)}
    kept = [example for i, example in enumerate(examples) if i not in taken]
    return kept, [examples[i] for i in sorted(taken)]


def take_count(examples: list, count: int | None, seed: int, data: Path, stratify: bool) -> list:
    """`count` of the training examples, or all if it is None; see take_share. Raises UserError if there are fewer."""
    if count and count > len(examples):
        raise UserError(f"--labels asks for {count:,} examples, but there are only {len(examples):,} in training")
    if not count or count == len(examples):
        return examples
    return take_share(examples, count / len(examples), f"{seed} labels", data, stratify)[1]


def label_names(splits: dict[str, list[Example]]) -> tuple[str, ...]:
    """The labels of the training split, sorted. Raises UserError if there is only one, or if another split has a label
    that the training split lacks."""
    names = sorted({example.label for example in splits["train"]})
    if len(names) < 2:
        raise UserError(f"all training examples are labelled {names[0]!r}: there is nothing to tell apart")
    for split in ("val", "test"):
        for example in splits[split]:
            if example.label not in names:
                raise UserError(
                    f"the {split} split has the label {example.label!r}, which training never had (it has "
                    f"{', '.join(names[:10])}): add examples of it, or remove it"
                )
    return tuple(names)


def label_numbers(splits: dict[str, list[Example]]) -> dict[str, list[float]]:
    """For regression: the labels of each split as numbers. Raises UserError if a label is not a number or is too large,
    or if all training labels are equal or almost equal."""
    numbers = {}
    for split, examples in splits.items():
        numbers[split] = []
        for example in examples:
            try:
                numbers[split].append(float(example.label))
                if not math.isfinite(numbers[split][-1]):
                    raise ValueError
            except ValueError:
                raise UserError(
                    f"the {split} split has the label {example.label!r}, which is no number: "
                    "leave out --task regression, or correct the label"
                ) from None
        if (largest := max(map(abs, numbers[split]))) > LARGEST:
            raise UserError(f"the {split} split has the label {largest}, which weights cannot hold: use another unit")
    if "train" not in numbers:  # examples to test a model with
        return numbers
    if len(set(numbers["train"])) < 2:
        raise UserError(f"all training examples are labelled {numbers['train'][0]}: there is nothing to tell apart")
    if (spread := max(numbers["train"]) - min(numbers["train"])) < 1 / LARGEST:
        raise UserError(f"the training labels differ by {spread}, which weights cannot hold: use another unit")
    return numbers
