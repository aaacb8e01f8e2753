"""Labelled text made ready for a model: tokens, targets, what the labels are called, and batches of like length."""

import functools
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
POOL = 32  # batches that are sorted by length together: more would save padding, but make neighbours too alike


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


class Buckets:
    """Batches of texts of like length: less padding, and still in random order, a function of (seed, step) alone. Batch
    `step` is an array of indices into the texts; every text comes once in an epoch."""

    def __init__(self, lengths: list[int], batch_size: int, seed: int):
        self.lengths, self.batch_size, self.seed = np.array(lengths), batch_size, seed
        self.batches_per_epoch = -(-len(lengths) // batch_size)
        self.epoch = functools.lru_cache(maxsize=1)(self._epoch)

    def batch(self, step: int) -> np.ndarray:
        """Indices of the texts of update `step`, (batch_size,) or fewer in an epoch's odd batch."""
        return self.epoch(step // self.batches_per_epoch)[step % self.batches_per_epoch]

    def _epoch(self, number: int) -> list[np.ndarray]:
        """Shuffle, sort pools of some batches by length, cut them into batches, shuffle those."""
        random = np.random.default_rng([self.seed, number])
        order = random.permutation(len(self.lengths))
        batches = []
        for start in range(0, len(order), POOL * self.batch_size):
            pool = order[start : start + POOL * self.batch_size]
            pool = pool[np.argsort(self.lengths[pool], kind="stable")]
            batches += [pool[i : i + self.batch_size] for i in range(0, len(pool), self.batch_size)]
        random.shuffle(batches)
        return batches


def drop_words(text: list[int], share: float, random: np.random.Generator) -> list[int]:
    """A text with about `share` of its tokens left out, but never all of them, nor the first, which stands for the
    beginning (Iyyer et al. 2015, section 3.1)."""
    first, *words = text
    kept = [token for token, draw in zip(words, random.random(len(words)), strict=True) if draw >= share]
    return [first, *(kept or words)]
