"""The task "one label for a text", and its sibling regression, "one number for a text"."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gpt.classifier import GPTClassifier, language_loss, loss_on_labels, pad
from gpt.errors import UserError
from gpt.finetuning.batches import drop_words
from gpt.finetuning.finetune_config import FinetuneConfig
from gpt.finetuning.labelled import SPLITS, label_names, label_numbers, read_examples, read_splits, take_count
from gpt.finetuning.labelling import classify
from gpt.finetuning.saved import in_units, save_classifier
from gpt.finetuning.task import Task
from gpt.model import GPTConfig
from gpt.running.device import Machine
from gpt.tokenizer import Tokenizer


class LabelTask(Task):
    """Labelled text. config.labels: use only this many training examples (stratified, see take_share).

    Raises UserError as the functions of labelled.py do, or if config.labels is too large or leaves a label without
    examples.
    """

    labels: tuple[str, ...]  # class names, or a single name for regression
    targets: dict[str, Tensor]  # (examples,): class numbers, int64; or standardised numbers, float32
    mean, std = 0.0, 1.0  # of a regression's training numbers; classes keep 0 and 1

    def __init__(self, config: FinetuneConfig, tokenizer: Tokenizer, context_length: int):
        self.config, self.tokenizer = config, tokenizer
        regression = config.task == "regression"
        self.score = "r2" if regression else "accuracy"
        self.examples = read_splits(config.data, config.split_seed, read_examples, stratify=not regression)
        self.take_labels(config, regression)
        if regression:
            self.labels = ("score",)
            numbers = {split: np.array(values) for split, values in label_numbers(self.examples).items()}
            self.mean, self.std = float(numbers["train"].mean()), float(numbers["train"].std())
            self.targets = {s: torch.tensor((values - self.mean) / self.std).float() for s, values in numbers.items()}
        else:
            self.labels = label_names(self.examples)
            number = {label: i for i, label in enumerate(self.labels)}
            self.targets = {split: torch.tensor([number[e.label] for e in self.examples[split]]) for split in SPLITS}
        tokens = {split: [tokenizer.encode_document(e.text) for e in self.examples[split]] for split in SPLITS}
        self.truncated = {split: sum(len(text) > context_length for text in tokens[split]) for split in SPLITS}
        self.tokens = {split: [text[:context_length] for text in tokens[split]] for split in SPLITS}

    def take_labels(self, config: FinetuneConfig, regression: bool) -> None:
        """Keep config.labels training examples."""
        train = self.examples["train"]
        chosen = take_count(train, config.labels, config.split_seed, config.data, not regression)
        missing = {example.label for example in train} - {example.label for example in chosen}
        if missing and not regression:
            some = ", ".join(sorted(missing)[:10])
            raise UserError(f"{config.labels} labels leave no example of {some}: use more labels")
        self.examples["train"] = chosen

    def describe_data(self) -> str:
        return f"labels {', '.join(self.labels[:10])}"

    def class_weights(self) -> Tensor:
        """(labels,): every class has the same total weight, and the mean over the training examples is 1."""
        counts = self.targets["train"].bincount(minlength=len(self.labels))
        return counts.sum() / (len(self.labels) * counts)

    def build_net(self, config: GPTConfig) -> GPTClassifier:
        return GPTClassifier(config, self.labels)

    def loss(
        self,
        net: GPTClassifier,
        part: np.ndarray,
        machine: Machine,
        random: np.random.Generator,
        batch: np.ndarray | None = None,
    ) -> tuple[Tensor, Tensor]:
        texts = [drop_words(self.tokens["train"][i], self.config.word_dropout, random) for i in part]
        tokens, lengths = (x.to(machine.device) for x in pad(texts, net.config.vocab_size - 1))  # (part, T), (part,)
        targets = self.targets["train"][part].to(machine.device)
        weights = self.class_weights().to(machine.device) if self.config.class_weights else None
        states = net.transformer(tokens)  # (part, T, C)
        logits = net.head(states, lengths)  # (part, labels)
        loss = loss_on_labels(logits, targets, weights, self.config.label_smoothing).mean()
        if not self.config.lm_loss:
            return loss, loss
        return loss + self.language_weight(part, batch) * language_loss(net, states, tokens, lengths), loss

    def validate(self, net: GPTClassifier, machine: Machine) -> tuple[float, float]:
        logits, targets = classify(net, self.tokens["val"], machine), self.targets["val"]
        loss = loss_on_labels(logits, targets, None, 0.0).mean().item()
        if net.is_regression:
            variance = targets.var(correction=0).item() or 1.0  # one example has none: take training's, which is 1
            return loss, 1 - loss / variance
        return loss, (logits.argmax(1) == targets).float().mean().item()

    def finished(self, net: GPTClassifier) -> GPTClassifier:
        return in_units(net, self.mean, self.std) if net.is_regression else net

    def save_model(self, net: GPTClassifier, folder: Path) -> None:
        save_classifier(net, self.tokenizer, folder)

    def measure(self, net: GPTClassifier, machine: Machine) -> dict[str, Any]:
        from gpt.finetuning.measures import measure_labels  # here, because scikit-learn takes seconds to import

        texts = {split: [example.text for example in self.examples[split]] for split in SPLITS}
        logits = classify(net, self.tokens["test"], machine)
        targets = {split: values.numpy() for split, values in self.targets.items()}
        if net.is_regression:
            targets = {split: values.astype(np.float64) * self.std + self.mean for split, values in targets.items()}
        return {"labels": self.labels} | measure_labels(self.labels, texts, targets, logits)

    def describe_measures(self, report: dict) -> str:
        from gpt.finetuning.measures import describe_labels

        return describe_labels(report)

    def plot(self, report: dict, folder: Path) -> None:
        if self.score == "accuracy":
            from gpt.finetuning.report_plots import plot_confusion

            test = report["test"]
            plot_confusion(test["confusion"], self.labels, test["accuracy"], folder / "confusion.png")
