"""Labelled text prepared for a model: tokens, targets, label names, and batches of texts of similar length."""

import functools
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gpt.errors import UserError
from gpt.finetuning.labelled import Example, label_names, label_numbers, read_splits, take_share
from gpt.tokenizer import Tokenizer

SPLITS = ("train", "val", "test")
POOL = 32  # batches whose texts are sorted by length together; more would save padding, but make batches less random


@dataclass(frozen=True)
class Task:
    """A labelled data set. The keys of the dictionaries are the splits "train", "val" and "test"."""

    labels: tuple[str, ...]  # class names, or a single name for regression
    examples: dict[str, list[Example]]
    tokens: dict[str, list[list[int]]]  # token ids; no text is longer than the context
    targets: dict[str, Tensor]  # (examples,): class numbers, int64; or standardised numbers, float32
    truncated: dict[str, int]  # number of texts that were cut off at the context length
    mean: float  # mean and standard deviation of the training numbers; 0 and 1 for classes
    std: float

    def class_weights(self) -> Tensor:
        """(labels,): every class has the same total weight, and the mean over the training examples is 1."""
        counts = self.targets["train"].bincount(minlength=len(self.labels))
        return counts.sum() / (len(self.labels) * counts)

    def fingerprint(self) -> str:
        """A hash of the texts, labels and splits."""
        rows = {split: [(e.text, e.label) for e in examples] for split, examples in self.examples.items()}
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def load_task(
    data: Path, regression: bool, count: int | None, split_seed: int, tokenizer: Tokenizer, context_length: int
) -> Task:
    """Read a labelled data set for a model with this tokenizer and context. count: use only this many training
    examples (stratified, see take_share). Raises UserError as the functions of labelled.py do, or if `count` is too
    large or leaves a label without examples."""
    examples = read_splits(data, split_seed, regression)
    if count and count > len(examples["train"]):
        raise UserError(f"{count} labels are requested, but there are only {len(examples['train']):,} in training")
    if count and count < len(examples["train"]):
        all_labels = {example.label for example in examples["train"]}
        share = count / len(examples["train"])
        examples["train"] = take_share(examples["train"], share, f"{split_seed} labels", data, regression)[1]
        missing = all_labels - {example.label for example in examples["train"]}
        if missing and not regression:
            raise UserError(f"{count} labels leave no example of {', '.join(sorted(missing)[:10])}: use more labels")
    mean, std = 0.0, 1.0
    if regression:
        labels = ("score",)
        numbers = {split: np.array(values) for split, values in label_numbers(examples).items()}
        mean, std = float(numbers["train"].mean()), float(numbers["train"].std())
        targets = {split: torch.tensor((values - mean) / std).float() for split, values in numbers.items()}
    else:
        labels = label_names(examples)
        class_number = {label: i for i, label in enumerate(labels)}
        targets = {split: torch.tensor([class_number[e.label] for e in examples[split]]) for split in SPLITS}
    tokens = {split: [tokenizer.encode_document(e.text) for e in examples[split]] for split in SPLITS}
    truncated = {split: sum(len(text) > context_length for text in tokens[split]) for split in SPLITS}
    tokens = {split: [text[:context_length] for text in tokens[split]] for split in SPLITS}
    return Task(labels, examples, tokens, targets, truncated, mean, std)


class Buckets:
    """Batches of texts of similar length, which need less padding, in random order.

    Batch `step` is an array of indices into the texts. It depends only on (seed, step). Every text occurs once per
    epoch. lengths: the number of tokens of each text.
    """

    def __init__(self, lengths: list[int], batch_size: int, seed: int):
        self.lengths, self.batch_size, self.seed = np.array(lengths), batch_size, seed
        self.batches_per_epoch = -(-len(lengths) // batch_size)
        self.epoch = functools.lru_cache(maxsize=1)(self._epoch)

    def batch(self, step: int) -> np.ndarray:
        """Indices of the texts of update `step`: (batch_size,), or fewer in one batch of each epoch."""
        return self.epoch(step // self.batches_per_epoch)[step % self.batches_per_epoch]

    def _epoch(self, number: int) -> list[np.ndarray]:
        """Shuffle the texts, sort pools of POOL batches by length, cut the pools into batches, and shuffle these."""
        rng = np.random.default_rng([self.seed, number])
        order = rng.permutation(len(self.lengths))
        batches = []
        for start in range(0, len(order), POOL * self.batch_size):
            pool = order[start : start + POOL * self.batch_size]
            pool = pool[np.argsort(self.lengths[pool], kind="stable")]
            batches += [pool[i : i + self.batch_size] for i in range(0, len(pool), self.batch_size)]
        rng.shuffle(batches)
        return batches


def drop_words(text: list[int], share: float, random: np.random.Generator) -> list[int]:
    """A text without about `share` of its tokens (word dropout; Iyyer et al. 2015, section 3.1). The first token, which
    marks the beginning, is always kept. If all others would be dropped, they are kept too."""
    first, *words = text
    kept = [token for token, draw in zip(words, random.random(len(words)), strict=True) if draw >= share]
    return [first, *(kept or words)]
