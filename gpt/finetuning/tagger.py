"""A Transformer under a tag head: the state of every token, times one matrix, scores each tag for it.

So names, places and things are found in a text ("BERT", Devlin et al. 2019, section 5.3; the data of CoNLL-2003, Tjong
Kim Sang and De Meulder 2003). A causal model tags a token before it has seen what follows, which a masked one has.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from gpt.dataset import IGNORED
from gpt.model import Dropout, GPTConfig, Transformer


class GPTTagger(nn.Module):
    """One score for each tag of each token."""

    def __init__(self, config: GPTConfig, labels: tuple[str, ...]):
        super().__init__()
        self.config, self.labels = config, labels
        self.transformer = Transformer(config)
        self.dropout = Dropout(config.dropout)
        self.classifier = nn.Linear(config.n_embd, len(labels))  # `transformers`' name for it
        nn.init.normal_(self.classifier.weight, std=0.02)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens (B, T) -> logits (B, T, tags)."""
        return self.classifier(self.dropout(self.transformer(tokens)))


def loss_on_tags(logits: Tensor, targets: Tensor) -> Tensor:
    """Logits (B, T, tags), targets (B, T) with IGNORED on the padding -> each text's mean cross-entropy, (B,)."""
    losses = F.cross_entropy(logits.transpose(1, 2).float(), targets, ignore_index=IGNORED, reduction="none")  # (B, T)
    return losses.sum(1) / (targets != IGNORED).sum(1).clamp(min=1)
