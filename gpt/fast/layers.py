"""The layers of gpt/model.py, faster. Each is a subclass of its plain original with another `forward`; the weights
stay.

Shapes as in model.py: B batch, T tokens, C channels, nh heads, hs channels of one head.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from gpt.model import GELU, CausalSelfAttention, Dropout, GPTConfig, LayerNorm


class FusedLayerNorm(LayerNorm):
    """One call of PyTorch's, which reads and writes everything once."""

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)


class FusedGELU(GELU):
    """One call of PyTorch's. On a CPU its exact form is about twice as fast as its tanh form."""

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(x, approximate="none" if self.exact else "tanh")


class QuickDropout(Dropout):
    """Dropout that is cheap on a CPU.

    PyTorch draws a CPU's random numbers one after the other: a third of the time of a training step of a small net.
    Here one random number of 64 bits decides over four units, so p is kept to the nearest 1/65,536. Elsewhere PyTorch's
    own dropout is the fast one.
    """

    def forward(self, x: Tensor) -> Tensor:
        return drop_units(x, self.p) if self.training and self.p > 0 else x


def drop_units(x: Tensor, p: float) -> Tensor:
    """Each unit becomes 0 with probability p, and the others are multiplied by 1 / (1 - p)."""
    if x.device.type != "cpu":
        return F.dropout(x, p)
    random = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)  # all 64 bits are random
    units = random.view(torch.int16)[: x.numel()].view(x.shape)  # each from -2¹⁵ to 2¹⁵ - 1
    threshold = min(round(p * 2**16), 2**16 - 1) - 2**15  # a share p of the units is below it
    return x * ((units >= threshold) * (1 / (1 - p))).to(x.dtype)


def rotary_tables(T: int, head_size: int) -> tuple[Tensor, Tensor]:
    """cos and sin (T, hs) for the rotation x cos + x.roll(hs/2) sin; sin carries the minus sign."""
    pair = torch.arange(0, head_size, 2) / head_size  # (hs/2,)
    angles = torch.outer(torch.arange(T).float(), 10000.0**-pair)  # (T, hs/2)
    cos, sin = angles.cos(), angles.sin()
    return torch.cat((cos, cos), dim=-1), torch.cat((-sin, sin), dim=-1)


class FastAttention(CausalSelfAttention):
    """Queries and keys are turned together, by tables made once. Each subclass computes attention in its own way."""

    cos: Tensor  # (context, hs)
    sin: Tensor

    def prepare(self, config: GPTConfig, device: torch.device) -> None:
        """Make the tables for rotary positions."""
        if self.rotary:
            cos, sin = rotary_tables(config.context_length, config.head_size)
            self.register_buffer("cos", cos.to(device), persistent=False)
            self.register_buffer("sin", sin.to(device), persistent=False)

    def forward(self, x: Tensor, visible: Tensor | None = None) -> Tensor:
        B, T, C = x.shape
        nh, hs = self.n_head, C // self.n_head
        qkv = self.c_attn(x).view(B, T, 3 * nh, hs).transpose(1, 2)  # (B, 3 nh, T, hs)
        qk, v = qkv.split((2 * nh, nh), dim=1)
        if self.rotary:
            qk = qk * self.cos[:T].to(qk.dtype) + qk.roll(hs // 2, dims=-1) * self.sin[:T].to(qk.dtype)
        q, k = qk.chunk(2, dim=1)  # 2 × (B, nh, T, hs)
        y = self.attend(q, k, v, visible)  # (B, nh, T, hs)
        y = y.transpose(1, 2).reshape(B, T, C)
        return self.dropout(self.c_proj(y))  # (B, T, C)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, visible: Tensor | None) -> Tensor:
        """softmax(q kᵀ / √hs) v, all (B, nh, T, hs): causal, or where `visible` (B, 1, 1, T) is true."""
        raise NotImplementedError


class KernelAttention(FastAttention):
    """PyTorch's own kernels, among them FlashAttention (Dao et al. 2022), which never store the (T, T) scores."""

    def attend(self, q: Tensor, k: Tensor, v: Tensor, visible: Tensor | None) -> Tensor:
        p = self.dropout.p if self.training else 0.0
        return F.scaled_dot_product_attention(q, k, v, attn_mask=visible, dropout_p=p, is_causal=visible is None)


class AddedMaskAttention(FastAttention):
    """The formula, with a mask that is added: a pass less over the scores, and one less over their gradient, than
    filling in. In bfloat16 on a CPU, whose kernels have a slow backward, this is the fastest for short contexts:
    measured with AMX and torch 2.13, 5.9 times faster at 64 tokens and 1.7 times at 256; at 1,024 the kernel won. A
    whole training step of `tiny` on a Zen 4 took 0.88 of the time."""

    def attend(self, q: Tensor, k: Tensor, v: Tensor, visible: Tensor | None) -> Tensor:
        T, hs = q.shape[-2:]
        scores = q / math.sqrt(hs) @ k.transpose(-2, -1)  # (B, nh, T, T)
        if visible is None:
            mask = q.new_full((T, T), -math.inf).triu(1)
        else:
            mask = q.new_zeros(visible.shape).masked_fill(~visible, -math.inf)  # (B, 1, 1, T)
        return self.dropout((scores + mask).softmax(dim=-1)) @ v
