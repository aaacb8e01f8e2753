"""A Transformer under a label head: the state of a text's last token, times one matrix, scores each label.

The last token is the only one that has seen the whole text, so its state stands for it ("Improving Language
Understanding by Generative Pre-Training", Radford et al. 2018, section 3.2). Texts of a batch are padded on the
right: no token sees a later one, so what stands behind a text cannot change its answer.
"""

import copy
import json
from pathlib import Path

import torch
import torch.nn as nn
from torch import Tensor

from gpt.errors import UserError
from gpt.fast.dropout import Dropout
from gpt.files.checkpoint import load_weights, read_model_folder, write_model_folder
from gpt.model import GPTConfig, Transformer
from gpt.running.device import Machine
from gpt.tokenizer import Tokenizer

HF_CLASSES = {"learned": "GPT2ForSequenceClassification", "rotary": "GPTNeoXForSequenceClassification"}


class GPTClassifier(nn.Module):
    """One score for each label of a text; with a single label, a number is estimated instead (regression)."""

    def __init__(self, config: GPTConfig, labels: tuple[str, ...]):
        super().__init__()
        self.config, self.labels = config, labels
        self.transformer = Transformer(config)
        self.dropout = Dropout(config.dropout)
        self.score = nn.Linear(config.n_embd, len(labels), bias=False)
        nn.init.normal_(self.score.weight, std=0.02)

    @property
    def is_regression(self) -> bool:
        return len(self.labels) == 1

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """tokens (B, T), of which row b has lengths[b] real ones and then padding -> logits (B, labels)."""
        return self.head(self.transformer(tokens), lengths)

    def head(self, states: Tensor, lengths: Tensor) -> Tensor:
        """Hidden states (B, T, C) -> logits (B, labels), from the state of each text's last token."""
        rows = torch.arange(len(states), device=states.device)
        last = states[rows, lengths - 1]  # (B, C)
        return self.score(self.dropout(last))


def pad(texts: list[list[int]]) -> tuple[Tensor, Tensor]:
    """Lists of ids -> tokens (B, T) with T the longest one's length, and lengths (B,). What the padding holds does
    not matter here, as nobody looks at it."""
    lengths = torch.tensor([len(text) for text in texts])
    tokens = torch.zeros(len(texts), int(lengths.max()), dtype=torch.int64)
    for row, text in zip(tokens, texts, strict=True):
        row[: len(text)] = torch.tensor(text)
    return tokens, lengths


@torch.inference_mode()
def classify(model: GPTClassifier, texts: list[list[int]], machine: Machine, batch_size: int = 64) -> Tensor:
    """Texts as ids -> logits (number of texts, labels), float32 on the CPU.

    Texts of like length share a batch, so that little is spent on padding. Raises UserError for a text longer
    than the context; an empty one has no last token, and must not be given.
    """
    was_training = model.training
    model.eval()
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    logits = torch.empty(len(texts), len(model.labels))
    for start in range(0, len(order), batch_size):
        batch = order[start : start + batch_size]
        tokens, lengths = pad([texts[i] for i in batch])
        with machine.autocast():
            logits[batch] = model(tokens.to(machine.device), lengths.to(machine.device)).float().cpu()
    model.train(was_training)
    return logits


def in_units(model: GPTClassifier, mean: float, std: float) -> GPTClassifier:
    """A copy of a regression model that answers mean + std × answer: trained on numbers brought to mean 0 and
    deviation 1, it then speaks in those of the user. The head has no bias in `transformers`' layout, so the mean
    goes into the bias of the norm before it, along the head's own direction."""
    model = copy.deepcopy(model)
    with torch.no_grad():
        model.score.weight *= std
        weight = model.score.weight[0].double()  # in float32 the square of a small one would be 0
        direction = weight / weight.square().sum()  # its answer is 1
        model.transformer.ln_f.bias += mean * direction
    return model


def save_classifier(model: GPTClassifier, tokenizer: Tokenizer, folder: Path | str) -> None:
    """Write a model folder that `AutoModelForSequenceClassification.from_pretrained` loads, with the names of the
    labels in it; a plain GPTClassifier only (see lora.merge for one with adapters)."""
    more = {
        "architectures": [HF_CLASSES[model.config.position]],
        "id2label": {str(i): label for i, label in enumerate(model.labels)},
        "label2id": {label: i for i, label in enumerate(model.labels)},
        "problem_type": "regression" if model.is_regression else "single_label_classification",
        "pad_token_id": tokenizer.end_of_text,
    }
    write_model_folder(folder, model.config, model.state_dict(), tokenizer, more)


def load_classifier(folder: Path | str, device: torch.device | str = "cpu") -> GPTClassifier:
    """Read a classifier's folder, written by us or by `transformers`, ready to answer.

    Raises UserError if it is no model folder, holds a model without a label head, or is damaged.
    """
    config, weights = read_model_folder(folder)
    del weights["lm_head.weight"]
    if "score.weight" not in weights:
        raise UserError(f"{folder} holds a language model, not a classifier: fine-tune it first with finetune.py")
    hf = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))
    names = hf.get("id2label") or {}
    labels = tuple(str(names.get(str(i), f"LABEL_{i}")) for i in range(len(weights["score.weight"])))
    model = GPTClassifier(config, labels)
    load_weights(model, weights, folder)
    return model.to(device).eval()
