"""Weights in 4, 3 or 2 bits, simulated: rounded as they would be, but kept and multiplied in float32.

Each row of a matrix is cut into groups of GROUP weights, and each group gets a scale of its own, max|w| divided by the
largest whole number of these bits ("GPTQ", Frantar et al. 2023, section 4 uses such groups; this is their baseline,
plain rounding to the nearest). A kernel for such weights would read the whole numbers and 16 bits of scale a group.
"""

import torch
from torch import Tensor, nn

from gpt.model import GPT

GROUP = 32  # weights that share a scale
SCALE_BITS = 16


def rounded_in_groups(weight: Tensor, bits: int) -> Tensor:
    """(out, in) floats -> the same, each the nearest that `bits` bits and its group's scale can say."""
    groups = weight.reshape(-1, min(GROUP, weight.size(1)))  # (groups, GROUP); n_embd is a multiple of 32 or small
    largest_whole = 2 ** (bits - 1) - 1  # 7, 3, or 1
    scale = groups.abs().amax(1, keepdim=True).clamp(min=1e-30) / largest_whole  # (groups, 1)
    return ((groups / scale).round() * scale).view_as(weight)


@torch.no_grad()
def round_matrices(model: GPT, bits: int) -> float:
    """Round a model's matrices and its embedding in place; returns the bytes that they and the rest would take."""
    matrices = [part.weight for block in model.transformer.h for part in block.modules() if isinstance(part, nn.Linear)]
    matrices.append(model.transformer.wte.weight)
    for weight in matrices:
        weight.copy_(rounded_in_groups(weight, bits))
    inside = sum(weight.numel() for weight in matrices)
    outside = sum(weight.numel() for weight in model.parameters()) - inside  # biases, norms, positions: float32
    return inside * (bits + SCALE_BITS / GROUP) / 8 + outside * 4
