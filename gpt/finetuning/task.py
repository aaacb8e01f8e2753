"""What fine-tuning must know about a task: its data, its net, its loss, its score. finetune.py treats all tasks alike.

classification.py   one label, or one number, for a text
tagging.py          a label for every token
answering.py        a prompt, and an answer that the model writes
"""

import dataclasses
import hashlib
import json
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from gpt.finetuning.adapters import save_adapter
from gpt.finetuning.finetune_config import FinetuneConfig
from gpt.finetuning.methods import Net, merged
from gpt.model import GPTConfig
from gpt.running.device import Machine
from gpt.tokenizer import Tokenizer


class Task(ABC):
    """A data set prepared for a model: tokens of at most its context, and what the model should make of them.

    The keys of the dictionaries are the splits "train", "val" and "test". Making one raises UserError for data that
    does not suit the task.
    """

    score: str  # what the best weights maximise: "accuracy", "r2", "f1", "exact"
    config: FinetuneConfig
    tokenizer: Tokenizer
    examples: dict[str, list[Any]]
    tokens: dict[str, list[list[int]]]  # what the net reads of each example, as ids
    room: int = 0  # tokens of the context that a prompt must leave to an answer, where there are any
    truncated: dict[str, int]  # number of examples that were cut off at the context length

    def fingerprint(self) -> str:
        """A hash of the examples and their splits."""
        rows = {split: [dataclasses.astuple(e) for e in examples] for split, examples in self.examples.items()}
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()

    @abstractmethod
    def describe_data(self) -> str:
        """What is learned, for a run's first lines."""

    @abstractmethod
    def build_net(self, config: GPTConfig) -> Net:
        """A net of this shape with random weights, under the task's own head if it has one."""

    @abstractmethod
    def loss(
        self,
        net: Any,
        part: np.ndarray,
        machine: Machine,
        random: np.random.Generator,
        batch: np.ndarray | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Of the training examples numbered in `part`: (the objective to minimise, the task's own loss in it). batch:
        the numbers of which `part` is a part, for gradient accumulation; by default `part` is all of them."""

    def language_weight(self, part: np.ndarray, batch: np.ndarray | None) -> float:
        """The weight of the mean language-model loss of `part`: config.lm_loss, times the mean length of its texts over
        that of the batch. finetune.py weighs a part by its number of texts; with this, every token counts alike,
        however the batch is cut. (Lengths are those before word dropout.)"""

        def mean_length(numbers: np.ndarray) -> float:
            return float(np.mean([len(self.tokens["train"][i]) - 1 for i in numbers]))  # tokens that are predicted

        return self.config.lm_loss * (mean_length(part) / (mean_length(part if batch is None else batch) or 1.0))

    @abstractmethod
    def validate(self, net: Any, machine: Machine) -> tuple[float, float]:
        """(Loss, score) on the validation split."""

    def save(self, net: Any, folder: Path) -> None:
        """Write the net's model folder, a Hugging Face one, or only what was trained (config.saves_adapter). Raises
        UserError if a file cannot be written."""
        net, config = self.finished(net), self.config
        if config.saves_adapter:
            save_adapter(net, config.settings, config.model, self.tokenizer, folder, self.room)
        else:
            self.save_model(merged(net), folder)

    def finished(self, net: Any) -> Any:
        """The net as a user needs it: a copy, where it differs from the net in training."""
        return net

    @abstractmethod
    def save_model(self, net: Any, folder: Path) -> None:
        """Write the folder of a whole model."""

    @abstractmethod
    def measure(self, net: Any, machine: Machine) -> dict[str, Any]:
        """Evaluate a net, as loaded from its folder, on the test split. A part of report.json, with "test",
        "baselines" and "verdict"."""

    @abstractmethod
    def describe_measures(self, report: dict) -> str:
        """The measures as text for the terminal."""

    @abstractmethod
    def plot(self, report: dict, folder: Path) -> None:
        """Draw what the task has to show beside the learning curve."""
