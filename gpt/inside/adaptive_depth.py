"""Adaptive depth: each token leaves the model at the first layer whose prediction is sure enough.

"Confident Adaptive Language Modeling" (Schuster et al. 2022): after every block the final norm and the head say what
they would predict there (the logit lens); where the largest probability reaches a threshold, the blocks above are left
out. (Their softmax response, section 3.5, is the difference between the two largest.) Later tokens still attend to such
a token in those blocks: there its state is the one that it left with (section 3.2). Schuster et al. train every layer
to predict; these models trained the last one only.

Here all blocks are computed, and the results of those above are thrown away: this shows what could be saved, and what
it costs in loss, but saves no time. And to ask the head after each block costs more than a small block itself.
"""

import contextlib
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from gpt.dataset import IGNORED, Dataset
from gpt.errors import UserError
from gpt.fast.decoder import Decoder
from gpt.inside.interpret import predictions_of
from gpt.model import GPT


@contextlib.contextmanager
def leaving_early(model: GPT, threshold: float) -> Iterator[list[Tensor]]:
    """Within it, tokens leave the model early, in model(tokens) and whatever calls that. Yields a list that holds,
    after each call, the number of blocks that each token went through, (B, T).

    Raises UserError if the threshold is not above 0. Above 1, no token leaves early.
    """
    if not threshold > 0:
        raise UserError(f"the threshold is {threshold:g}: it is a probability, and must be above 0")
    depths: list[Tensor] = [torch.zeros(0)]
    has_left = torch.zeros(0)

    def begin(_, inputs: tuple) -> None:
        nonlocal has_left
        has_left = torch.zeros(inputs[0].shape[:2], dtype=torch.bool, device=inputs[0].device)  # (B, T)
        depths[0] = torch.zeros_like(has_left, dtype=torch.long)

    def choose_state(_, inputs: tuple, output: Tensor) -> Tensor:
        nonlocal has_left
        depths[0] = depths[0] + ~has_left
        states = torch.where(has_left[..., None], inputs[0], output)  # (B, T, C)
        has_left = has_left | (largest_probability(model, states) >= threshold)
        return states

    handles = [model.transformer.h[0].register_forward_pre_hook(begin)]
    handles += [block.register_forward_hook(choose_state) for block in model.transformer.h]
    try:
        yield depths
    finally:
        for handle in handles:
            handle.remove()


def largest_probability(model: GPT, states: Tensor) -> Tensor:
    """States of the residual stream (..., C) -> (...): how sure the model would be if it ended there."""
    return predictions_of(model, states).amax(-1).exp()


@torch.no_grad()
def depth_and_loss(model: GPT, dataset: Dataset, threshold: float) -> tuple[float, float]:
    """(Mean number of blocks that a token goes through, loss in nats per token), on the validation split."""
    blocks = loss = count = 0.0
    with leaving_early(model, threshold) as depths:
        for inputs, targets in dataset.evaluation_batches():
            logits = model(inputs)  # (B, T, V)
            loss += F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), reduction="sum").item()
            counted = targets != IGNORED  # (B, T)
            blocks += depths[0][counted].sum().item()
            count += counted.sum().item()
    return blocks / count, loss / count


class EarlyLeavingDecoder(Decoder):
    """The same with a cache, for generating many texts. Mean depth so far: blocks_run / tokens_read."""

    def __init__(self, model: GPT, capacity: int, threshold: float):
        super().__init__(model, capacity)
        self.threshold = threshold
        self.blocks_run = self.tokens_read = 0

    def hidden(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        self.has_left = torch.zeros(tokens.numel(), dtype=torch.bool, device=self.like.device)  # (B · T,)
        self.tokens_read += tokens.numel()
        return super().hidden(tokens, mask)

    def after_block(self, before: Tensor, after: Tensor) -> Tensor:
        self.blocks_run += int((~self.has_left).sum())
        states = torch.where(self.has_left[:, None], before, after)  # (B · T, C)
        self.has_left |= self.head(self.final_norm(states)).softmax(-1).amax(-1) >= self.threshold
        return states
