"""What a model loses without one of its parts: each head, each block, each half of a block, in turn.

"Are Sixteen Heads Really Better than One?" (Michel et al. 2019, section 3.2): switch a part off, change nothing else,
and measure the loss again. What the loss says is how much the *trained* model relies on the part. A model that is
trained a little without it may learn to do without.

Shapes at the ends of lines: L layers, nh heads, hs channels of a head, C channels.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from tqdm import tqdm

from gpt.model import GPT

BLOCK_PARTS = ("block", "attention", "MLP")  # what is switched off of a block


class LossesWithout(NamedTuple):
    """Losses in nats per token: of the whole model, without each head, and without each block or a half of it."""

    whole: float
    heads: Tensor  # (L, nh)
    blocks: Tensor  # (L, 3), the columns in the order of BLOCK_PARTS


@torch.no_grad()
def losses_without(model: GPT, loss: Callable[[GPT], float]) -> LossesWithout:
    """Measure `loss` of the model as it is, and with each part switched off in turn. The model ends as it began."""
    L, nh = len(model.transformer.h), model.config.n_head
    whole, heads, blocks = loss(model), torch.zeros(L, nh), torch.zeros(L, len(BLOCK_PARTS))
    with tqdm(total=L * (nh + len(BLOCK_PARTS)), desc="switching off", unit="part") as bar:
        for layer in range(L):
            for head in range(nh):
                with without_heads(model, [(layer, head)]):
                    heads[layer, head] = loss(model)
                bar.update()
            for column, part in enumerate(BLOCK_PARTS):
                with without_block(model, layer, part):
                    blocks[layer, column] = loss(model)
                bar.update()
    return LossesWithout(whole, heads, blocks)


@contextlib.contextmanager
def without_heads(model: GPT, heads: list[tuple[int, int]]) -> Iterator[None]:
    """Switch heads off, each given by (layer, head), both from 0. What a head writes into the residual stream is its
    channels times its columns of c_proj; so these columns are 0 meanwhile."""
    columns, hs = [], model.config.head_size
    for layer, head in heads:
        weight = model.transformer.h[layer].attn.c_proj.weight.data  # (C, C), its columns head by head
        columns.append(weight[:, head * hs : (head + 1) * hs])  # (C, hs)
    with set_to_zero(columns):
        yield


@contextlib.contextmanager
def without_block(model: GPT, layer: int, part: str = "block") -> Iterator[None]:
    """Switch off a block, from 0, or its "attention" or "MLP": the residual stream passes by, unchanged."""
    block = model.transformer.h[layer]
    outputs: list[nn.Linear] = []  # what adds to the stream: 0 weights and 0 bias add nothing
    if part in ("block", "attention"):
        outputs.append(block.attn.c_proj)
    if part in ("block", "MLP"):
        outputs.append(block.mlp.c_proj)
    with set_to_zero([weight.data for output in outputs for weight in output.parameters()]):
        yield


@contextlib.contextmanager
def set_to_zero(weights: list[Tensor]) -> Iterator[None]:
    """Set tensors to 0 in place, and back again afterwards, to the bit."""
    kept = [weight.clone() for weight in weights]
    try:
        for weight in weights:
            weight.zero_()
        yield
    finally:
        for weight, before in zip(weights, kept, strict=True):
            weight.copy_(before)
