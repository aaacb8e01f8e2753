"""BERT's objective: hide some tokens of a text, and guess them from what stands on both sides.

"BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding" (Devlin et al. 2019), section 3.1,
task 1. Of the tokens, 15 % are chosen; of these 80 % become the mask, 10 % a random token, and 10 % stay, so that the
model must judge every token that it sees, and does not find texts without masks strange (appendix A.1). The model is
that of gpt/model.py with causal=False. Behind the tokenizer's ids its vocabulary has two more: mask and padding.

Shapes: B batch, T tokens.
"""

import math
from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gpt.dataset import IGNORED, Dataset
from gpt.errors import UserError
from gpt.model import GPT
from gpt.tokenizer import Tokenizer

CHOSEN, TO_MASK, TO_RANDOM = 0.15, 0.8, 0.1  # of all tokens; of the chosen ones


class MaskedDataset(Dataset):
    """The windows of a Dataset for this objective: targets are the tokens that were chosen, and IGNORED elsewhere.

    batch(step) is a function of (seed, step). Validation is the same every time, whatever the seed and the batch size.
    """

    def __init__(self, causal: Dataset):
        # The windows are one token shorter: the last target makes a whole context of them.
        super().__init__(
            causal.train, causal.val, causal.end_of_text, causal.context_length - 1, causal.batch_size, causal.seed
        )
        self.mask, self.padding = causal.end_of_text + 1, causal.end_of_text + 2

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Inputs and targets of update `step`, each (batch_size, context) int64."""
        inputs, targets = super().batch(step)
        tokens = torch.cat((inputs, targets[:, -1:]), dim=1)  # (B, T)
        random = np.random.default_rng([self.seed, step]).random((len(tokens), 3, tokens.size(1)))
        return self.hide(tokens, torch.ones_like(tokens, dtype=torch.bool), random)

    def evaluation_batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The whole validation split, where each token but the first may be chosen in one window alone: inputs and
        targets (at most batch_size, context). A text read again for its end is context, and so is end-of-text."""
        generator = np.random.default_rng(0)
        for inputs, targets in super().evaluation_batches():
            tokens = torch.cat((inputs, targets[:, -1:]), dim=1)  # (B, T)
            new = F.pad(targets != IGNORED, (1, 0))  # (B, T); the first token of a window is none
            is_behind = new.flip(1).cumsum(1).flip(1) == 0  # a window ends with a new token: what follows is no text
            random = generator.random((len(tokens), 3, tokens.size(1)))
            yield self.hide(tokens.masked_fill(is_behind, self.padding), new, random)

    def hide(self, tokens: Tensor, allowed: Tensor, random: np.ndarray) -> tuple[Tensor, Tensor]:
        """tokens (B, T) -> inputs and targets. Of those `allowed` (B, T), 15 % are chosen, end-of-text never; equally
        many in every row that allows as many, so that the parts of a batch weigh the same. random (B, 3, T): numbers
        from 0 to 1."""
        order, kind, other = torch.from_numpy(random).unbind(1)  # 3 × (B, T)
        candidates = allowed & (tokens != self.end_of_text)
        number = (CHOSEN * allowed.sum(1, keepdim=True)).round().clamp(min=1)  # (B, 1)
        place_in_order = order.masked_fill(~candidates, 1.0).argsort(1).argsort(1)
        chosen = candidates & (place_in_order < number)
        inputs = torch.where(chosen & (kind < TO_MASK), self.mask, tokens)
        to_random = chosen & (kind >= TO_MASK) & (kind < TO_MASK + TO_RANDOM)
        inputs = torch.where(to_random, (other * self.end_of_text).long(), inputs)  # any token but end-of-text
        return inputs, tokens.masked_fill(~chosen, IGNORED)


@torch.no_grad()
def fill_masks(model: GPT, tokens: Tensor) -> Tensor:
    """tokens (B, T) -> the same with the likeliest token in the place of each mask, each guessed by itself."""
    mask = model.config.vocab_size - 2
    logits = model(tokens.to(model.transformer.ln_f.weight.device))  # (B, T, V)
    logits = logits[..., : mask - 1]  # the rest is never hidden: end-of-text, mask, padding
    return torch.where(tokens == mask, logits.argmax(-1).cpu(), tokens)


@torch.no_grad()
def cloze_accuracy(model: GPT, dataset: MaskedDataset, most: int | None = None) -> float:
    """The share of the validation split's chosen tokens for which the model's likeliest is the right one; of its first
    windows alone, once they hold `most` of them."""
    right = total = 0
    for inputs, targets in dataset.evaluation_batches():
        logits = model(inputs.to(model.transformer.ln_f.weight.device))  # (B, T, V)
        right += int((logits.argmax(-1).cpu() == targets).sum())
        total += int((targets != IGNORED).sum())
        if most is not None and total >= most:
            break
    return right / max(1, total)


@torch.no_grad()
def pseudo_perplexity(model: GPT, texts: list[list[int]], batch_size: int = 64) -> float:
    """exp of the mean nats per token, each token masked in turn and guessed from the whole rest of its text (Salazar et
    al. 2020, "Masked Language Model Scoring", section 2.3). It is no perplexity: no product of such probabilities is
    that of a text. End-of-text is not guessed. Raises UserError if the model is causal or there is nothing to guess."""
    if model.config.causal:
        raise UserError("a causal model has a perplexity of its own (sample.py --score): only a masked one fills gaps")
    mask, device = model.config.vocab_size - 2, model.transformer.ln_f.weight.device
    total, count = 0.0, 0
    for text in texts:
        tokens = torch.tensor(text, device=device)
        places = (tokens != mask - 1).nonzero()[:, 0]  # end-of-text is the tokenizer's last id
        for start in range(0, len(places), batch_size):
            some = places[start : start + batch_size]
            rows = tokens.repeat(len(some), 1)  # (N, T): one row for each masked token
            number = torch.arange(len(some), device=device)
            rows[number, some] = mask
            logits = model(rows)[number, some]  # (N, V)
            total += F.cross_entropy(logits.float(), tokens[some], reduction="sum").item()
        count += len(places)
    if not count:
        raise UserError("there is no token to guess: the texts are empty")
    return math.exp(total / count)


def filled_example(model: GPT, tokenizer: Tokenizer, dataset: MaskedDataset) -> str:
    """The first document of the validation split, 15 % of its tokens masked and filled in by the model. [...] is a
    right guess, [...|...] a wrong one and what stood there."""
    inputs, targets = (rows[:1] for rows in next(dataset.evaluation_batches()))  # 2 × (1, T)
    is_masked = targets != IGNORED
    filled = fill_masks(model, inputs.masked_fill(is_masked, dataset.mask))
    text = b""
    for guess, right, masked in zip(filled[0].tolist(), targets[0].tolist(), is_masked[0].tolist(), strict=True):
        if guess >= dataset.end_of_text:
            if text:
                break
        elif not masked:
            text += tokenizer.decode_bytes([guess])
        elif guess == right:
            text += b"[" + tokenizer.decode_bytes([guess]) + b"]"
        else:
            text += b"[" + tokenizer.decode_bytes([guess]) + b"|" + tokenizer.decode_bytes([right]) + b"]"
    return text.decode("utf-8", errors="replace").strip()
