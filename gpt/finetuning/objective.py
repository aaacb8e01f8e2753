"""What fine-tuning makes small: the loss on the labels and, beside it, the language model's own; and the words it drops
so that no single one is relied on."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gpt.classifier import GPTClassifier


def loss_on_labels(logits: Tensor, targets: Tensor, weights: Tensor | None, smoothing: float) -> Tensor:
    """Logits (B, labels) and targets (B,) -> the loss of each example, (B,): cross-entropy, or with one label the
    squared error. weights: of each class, (labels,)."""
    if logits.size(1) == 1:
        return (logits[:, 0].float() - targets) ** 2
    loss = F.cross_entropy(logits.float(), targets, label_smoothing=smoothing, reduction="none")
    return loss if weights is None else loss * weights[targets]


def language_loss(model: GPTClassifier, states: Tensor, tokens: Tensor, lengths: Tensor) -> Tensor:
    """Mean loss of predicting each next token of the texts, padding left out: keeps the model a language model while
    it learns the labels (Radford et al. 2018, equation 5). states (B, T, C), tokens (B, T) -> nats per token."""
    is_real = torch.arange(1, tokens.size(1), device=tokens.device) < lengths[:, None]  # (B, T - 1)
    logits = F.linear(states[:, :-1][is_real], model.transformer.wte.weight)  # (real tokens, V)
    return F.cross_entropy(logits.float(), tokens[:, 1:][is_real], reduction="sum") / max(1, int(is_real.sum()))


def drop_words(text: list[int], share: float, random: np.random.Generator) -> list[int]:
    """A text with about `share` of its tokens left out, but never all of them, nor the first, which stands for the
    beginning (Iyyer et al. 2015, section 3.1)."""
    first, *words = text
    kept = [token for token, draw in zip(words, random.random(len(words)), strict=True) if draw >= share]
    return [first, *(kept or words)]
