"""Labelled text: CSV with the columns `text` and `label`, or JSONL with those keys, in three splits.

A folder holds train.csv and, if they are given, val.csv and test.csv (or .jsonl). A split that is not given is taken
from train by seed and label, so that each label has its share in it.
"""

import math
import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from gpt.errors import UserError
from gpt.files.tables import read_rows

TAKEN = 0.1  # the share of the training examples that makes a split which is not given
LARGEST = 1e30  # a label of a regression, and 1 / the least difference: a model's weights are float32


@dataclass(frozen=True)
class Example:
    text: str
    label: str


def read_splits(data: Path, seed: int, regression: bool = False) -> dict[str, list[Example]]:
    """The examples of "train", "val" and "test" from a folder, or from one file that is split here.

    Raises UserError if files are missing or damaged (saying the line), if a text is empty, or if there are too few
    examples to split.
    """
    if data.is_dir():
        files = {split: find_split(data, split) for split in ("train", "val", "test")}
    else:
        files = {"train": data, "val": None, "test": None}
    if files["train"] is None or not files["train"].is_file():
        raise UserError(f"{data} holds no train.csv or train.jsonl, and is no such file itself")
    splits = {split: read_examples(path) for split, path in files.items() if path is not None}
    for split in ("test", "val"):
        if split not in splits:
            splits["train"], splits[split] = take(splits["train"], TAKEN, f"{seed} {split}", data, regression)
    return splits


def find_split(folder: Path, split: str) -> Path | None:
    """FOLDER/split.csv or FOLDER/split.jsonl, or None. Raises UserError if both are there."""
    found = [folder / f"{split}{suffix}" for suffix in (".csv", ".jsonl") if (folder / f"{split}{suffix}").is_file()]
    if len(found) > 1:
        raise UserError(f"{folder} holds both {split}.csv and {split}.jsonl: remove one of them")
    return found[0] if found else None


def read_examples(path: Path) -> list[Example]:
    """The examples of one file, in its order; white space around texts and labels is dropped."""
    examples = []
    for line, row in read_rows(path, ("text", "label")):
        for name in ("text", "label"):
            if not row[name]:
                raise UserError(f"{path}, line {line}: the {name} is empty: fill it in or remove the line")
        examples.append(Example(row["text"], row["label"]))
    if not examples:
        raise UserError(f"{path} holds no examples")
    return examples


def take(
    examples: list[Example], share: float, key: str, data: Path, regression: bool = False
) -> tuple[list[Example], list[Example]]:
    """(The rest, `share` of the examples), with each label in both as often as in the whole, as near as it goes; the
    only example of a label stays with the rest. Of the numbers of a regression, which may all differ, any are taken.

    Which ones depends on the key and on the examples alone: they are shuffled, laid out label by label, and taken at
    equal distances (systematic sampling; Madow and Madow 1944). Both parts keep the order they came in.
    """
    draw = random.Random(key)
    laid_out = draw.sample(range(len(examples)), len(examples))
    if not regression:
        times = Counter(example.label for example in examples)
        laid_out = [i for i in laid_out if times[examples[i].label] > 1]
        laid_out.sort(key=lambda i: examples[i].label)
    count = min(round(len(examples) * share), len(laid_out))
    if not 0 < count < len(examples):
        raise UserError(f"{data} holds too few examples to take a part of them: give more, or the splits themselves")
    start = draw.random()
    taken = {laid_out[int((k + start) * len(laid_out) / count)] for k in range(count)}
    kept = [example for i, example in enumerate(examples) if i not in taken]
    return kept, [examples[i] for i in sorted(taken)]


def label_names(splits: dict[str, list[Example]]) -> tuple[str, ...]:
    """The labels of the training split, sorted. Raises UserError if there is one only, or if another split has
    one that training lacks."""
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
    """For regression: the labels of each split as numbers. Raises UserError for one that is not a number or too large
    a one, or if all of training's are the same."""
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
                    "leave --task regression out, or put it right"
                ) from None
        if (largest := max(map(abs, numbers[split]))) > LARGEST:
            raise UserError(f"the {split} split has the label {largest}, which weights cannot hold: use another unit")
    if len(set(numbers["train"])) < 2:
        raise UserError(f"all training examples are labelled {numbers['train'][0]}: there is nothing to tell apart")
    if (spread := max(numbers["train"]) - min(numbers["train"])) < 1 / LARGEST:
        raise UserError(f"the training labels differ by {spread}, which weights cannot hold: use another unit")
    return numbers
