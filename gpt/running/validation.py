"""How good a language model is on text it was not trained on, in all units."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from gpt.dataset import IGNORED, Dataset
from gpt.files.tokens_folder import TokensFolder
from gpt.running.device import Machine
from gpt.running.processes import Processes


@torch.no_grad()
def validation_loss(
    model: Callable[[Tensor], Tensor], dataset: Dataset, machine: Machine, processes: Processes, accumulate: int
) -> float:
    """Mean loss over the whole validation split, in nats per target (every token, or every masked one); every process
    takes its share of a batch, in `accumulate` parts."""
    total = tokens = 0
    for inputs, targets in dataset.evaluation_batches():
        inputs, targets = processes.share(inputs, 0), processes.share(targets, IGNORED)
        for x, y in zip(inputs.chunk(accumulate), targets.to(machine.device).chunk(accumulate), strict=True):
            with machine.autocast():
                logits = model(x.to(machine.device))  # (part, T, V)
            total += F.cross_entropy(logits.flatten(0, 1).float(), y.flatten(), reduction="sum").item()
            tokens += (y != IGNORED).sum().item()
    total, tokens = processes.sum(total, tokens)
    return total / tokens


def perplexity(loss: float) -> float:
    return math.exp(min(loss, 700.0))  # a float ends there


def describe_loss(loss: float, corpus: TokensFolder, objective: str) -> str:
    """A validation loss in all its units. That of a masked model is no code length: it has no bits per byte."""
    if objective == "masked":
        return f"validation loss {loss:.4f} nats/masked token, perplexity {perplexity(loss):.2f}"
    floor = corpus.meta["entropy_bits_per_byte"]
    beside = f" (the corpus's own entropy: {floor:.3f})" if floor else ""
    bits = corpus.bits_per_byte(loss)
    return f"validation loss {loss:.4f} nats/token, perplexity {perplexity(loss):.2f}, {bits:.3f} bits/byte{beside}"
