"""A Transformer under a label head: the state of a text's last token, times one matrix, scores each label.

The last token has seen the whole text, as no other has in a causal model, so its state stands for it ("Improving
Language Understanding by Generative Pre-Training", Radford et al. 2018, section 3.2). Texts of a batch are padded on
the right, where no token looks: what stands behind a text cannot change its answer.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gpt.model import GPT, Dropout, GPTConfig, Transformer


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
        last = states[torch.arange(states.size(0), device=states.device), lengths - 1]  # (B, C)
        kind = states.device.type
        with torch.autocast(kind, enabled=torch.is_autocast_enabled(kind) and not self.is_regression):
            return self.score(self.dropout(last))  # bfloat16 would round an answer near 2,000 to steps of 8


def pad(texts: list[list[int]], padding: int = 0) -> tuple[Tensor, Tensor]:
    """Lists of ids -> tokens (B, T) with T the longest one's length, and lengths (B,). The padding may be any id for a
    causal model, which never looks ahead; for one that does, it must be the last of the vocabulary."""
    rows = [torch.tensor(text) for text in texts]
    tokens = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=padding)
    return tokens, torch.tensor([len(text) for text in texts])


def loss_on_labels(logits: Tensor, targets: Tensor, weights: Tensor | None, smoothing: float) -> Tensor:
    """Logits (B, labels) and targets (B,) -> the loss of each example, (B,): cross-entropy, or with one label the
    squared error. weights: of each class, (labels,)."""
    if logits.size(1) == 1:
        return (logits[:, 0].float() - targets) ** 2
    loss = F.cross_entropy(logits.float(), targets, label_smoothing=smoothing, reduction="none")
    return loss if weights is None else loss * weights[targets]


def language_loss(model: GPT | GPTClassifier, states: Tensor, tokens: Tensor, lengths: Tensor) -> Tensor:
    """Mean loss of predicting each next token of the texts, padding left out: keeps the model a language model while
    it learns the labels (Radford et al. 2018, equation 5). states (B, T, C), tokens (B, T) -> nats per token."""
    is_real = torch.arange(1, tokens.size(1), device=tokens.device) < lengths[:, None]  # (B, T - 1)
    logits = F.linear(states[:, :-1][is_real], model.transformer.wte.weight)  # (real tokens, V)
    return F.cross_entropy(logits.float(), tokens[:, 1:][is_real], reduction="sum") / max(1, int(is_real.sum()))
