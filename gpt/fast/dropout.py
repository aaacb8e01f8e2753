"""Dropout (Srivastava et al. 2014) that does not hold a CPU up.

PyTorch draws a CPU's dropout masks one number after the other: a third of the time of a training step of a small net.
Here one random number of 64 bits decides over four units. Elsewhere PyTorch's own dropout is the fast one.
"""

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor


def drop(x: Tensor, p: float) -> Tensor:
    """Each unit becomes 0 with probability p (on a CPU, to the nearest 1/65,536), and the others grow by 1 / (1 - p) so
    that the expected value stays the same."""
    if p == 0:
        return x
    if x.device.type != "cpu":
        return F.dropout(x, p)
    random = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)  # all 64 bits are random
    units = random.view(torch.int16)[: x.numel()].view(x.shape)  # each from -2¹⁵ to 2¹⁵ - 1
    return x * ((units >= min(round(p * 2**16), 2**16 - 1) - 2**15) * (1 / (1 - p))).to(x.dtype)


class Dropout(nn.Module):
    """Dropout while training, and nothing afterwards."""

    def __init__(self, p: float):
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        return drop(x, self.p) if self.training else x
