"""LoRA: fine-tune a model by adding to its matrices products of two thin ones ("LoRA: Low-Rank Adaptation of Large
Language Models", Hu et al. 2021).

A matrix W (out × in) stays as it is; beside it B A is learned, with A (rank × in) and B (out × rank), and the layer
answers W x + (alpha / rank) B A x. B starts at zero, so training starts at exactly the pretrained function. Afterwards
B A can be added into W and costs nothing, or be kept as a file of its own, a hundredth of the model's size.
"""

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn

from gpt.model import Transformer


class LoraLinear(nn.Module):
    """A linear layer that stays as it is, plus a product of two thin matrices that learns."""

    def __init__(self, linear: nn.Linear, rank: int, alpha: float):
        super().__init__()
        self.linear = linear.requires_grad_(False)
        self.scale = alpha / rank
        self.lora_a = nn.Parameter(linear.weight.new_empty(rank, linear.in_features))
        self.lora_b = nn.Parameter(linear.weight.new_zeros(linear.out_features, rank))
        nn.init.kaiming_uniform_(self.lora_a, a=math.sqrt(5))

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) + (x @ self.lora_a.T) @ self.lora_b.T * self.scale  # (B, T, out)


def add_lora(body: Transformer, rank: int, alpha: float, targets: tuple[str, ...]) -> None:
    """Put a LoraLinear in the place of the matrices that `targets` names in each block, such as "attn.c_attn". The rest
    of the body is frozen, but for the last norm."""
    body.requires_grad_(False)
    body.ln_f.requires_grad_(True)
    for block in body.h:
        for target in targets:
            part, name = target.split(".")
            layer = getattr(block, part)
            setattr(layer, name, LoraLinear(getattr(layer, name), rank, alpha))


@torch.no_grad()
def merge_lora(model: nn.Module) -> Any:
    """A copy in which what LoRA learned is added into the matrices: a plain model of its class, with its answers."""
    model = copy.deepcopy(model)
    for layer in list(model.modules()):
        for name, child in list(layer.named_children()):
            if isinstance(child, LoraLinear):
                child.linear.weight += child.scale * child.lora_b @ child.lora_a
                setattr(layer, name, child.linear)
    return model
