"""Labelled text made ready for a model: tokens, targets, and what the labels are called."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gpt.errors import UserError
from gpt.finetuning.labelled import Example, label_names, label_numbers, read_splits, take
from gpt.tokenizer import Tokenizer

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Task:
    """Everything by split: "train", "val", "test"."""

    labels: tuple[str, ...]  # the classes, or one name for a number that is estimated
    examples: dict[str, list[Example]]
    tokens: dict[str, list[list[int]]]  # no text longer than the context
    targets: dict[str, Tensor]  # class numbers, int64; or numbers brought to mean 0 and deviation 1, float32
    truncated: dict[str, int]  # texts that were longer than the context and lost their ends
    mean: float  # of the numbers in the training split, and their deviation; 0 and 1 for classes
    std: float

    def class_weights(self) -> Tensor:
        """(labels,): all examples of a class together weigh the same, and an example 1 on average."""
        counts = self.targets["train"].bincount(minlength=len(self.labels))
        return counts.sum() / (len(self.labels) * counts)

    def fingerprint(self) -> str:
        """Another for other texts, labels or splits."""
        rows = {split: [(e.text, e.label) for e in examples] for split, examples in self.examples.items()}
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def load_task(
    data: Path, regression: bool, count: int | None, split_seed: int, tokenizer: Tokenizer, context_length: int
) -> Task:
    """Read a labelled data set for a model with this tokenizer and context. count: use only so many of the training
    examples, about as many of each label as its share. Raises UserError for what labelled.py does."""
    examples = read_splits(data, split_seed, regression)
    if count and count > len(examples["train"]):
        raise UserError(f"{count} labels are asked for, but there are only {len(examples['train']):,} in training")
    if count and count < len(examples["train"]):
        known = {example.label for example in examples["train"]}
        share = count / len(examples["train"])
        examples["train"] = take(examples["train"], share, f"{split_seed} labels", data, regression)[1]
        lost = known - {example.label for example in examples["train"]}
        if lost and not regression:
            raise UserError(f"{count} labels leave no example of {', '.join(sorted(lost)[:10])}: use more of them")
    mean, std = 0.0, 1.0
    if regression:
        labels = ("score",)
        numbers = {split: np.array(values) for split, values in label_numbers(examples).items()}
        mean, std = float(numbers["train"].mean()), float(numbers["train"].std())
        targets = {split: torch.tensor((values - mean) / std).float() for split, values in numbers.items()}
    else:
        labels = label_names(examples)
        number = {label: i for i, label in enumerate(labels)}
        targets = {split: torch.tensor([number[e.label] for e in examples[split]]) for split in SPLITS}
    tokens = {split: [tokenizer.encode_document(e.text) for e in examples[split]] for split in SPLITS}
    truncated = {split: sum(len(text) > context_length for text in tokens[split]) for split in SPLITS}
    tokens = {split: [text[:context_length] for text in tokens[split]] for split in SPLITS}
    return Task(labels, examples, tokens, targets, truncated, mean, std)
