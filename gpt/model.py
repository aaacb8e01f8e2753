"""GPT-2, written out: attention, MLP, block, and the stack of blocks under a language head.

Everything is as in "Language Models are Unsupervised Multitask Learners" (Radford et al. 2019, section 2.3):
pre-norm blocks, learned positions, tanh-GELU, biases, output weights tied to the embedding. One choice
of architecture is offered: `position="rotary"` turns queries and keys by an angle that grows with their place
instead of adding a learned vector (RoFormer, Su et al. 2021, section 3.2). It learns about twice as fast. Such
a model is GPT-NeoX without its parallel residual, down to the exact GELU, so both load in `transformers`.

Shapes at the ends of lines: B batch, T tokens, C channels (n_embd), nh heads, hs channels of one head (C = nh * hs),
V vocabulary. Generating, one token at a time, has its own way through these weights: decoder.py.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from gpt.errors import UserError
from gpt.fast.dropout import Dropout, drop


@dataclass(frozen=True)
class GPTConfig:
    """The whole identity of a model. The defaults are GPT-2's smallest, of 124M parameters."""

    vocab_size: int = 50257
    """tokens in the vocabulary; a tokens folder given with --data brings its own"""
    context_length: int = 1024
    """the most tokens that the model can look at"""
    n_layer: int = 12
    """blocks, one on top of the other"""
    n_head: int = 12
    """attention heads in each block; they share n_embd among them"""
    n_embd: int = 768
    """channels: how wide the vector is that stands for a token"""
    dropout: float = 0.0
    """share of units dropped while training; 0 unless the data is seen many times"""
    position: Literal["learned", "rotary"] = "learned"
    """how the model knows where a token stands: learned vectors (GPT-2) or rotation (GPT-NeoX)"""

    def __post_init__(self) -> None:
        sizes = ("vocab_size", "context_length", "n_layer", "n_head", "n_embd")
        for name in sizes:
            if getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}: it must be at least 1")
        if self.n_embd % self.n_head != 0:
            raise UserError(
                f"n_embd {self.n_embd} is not a multiple of n_head {self.n_head}: heads share the channels equally"
            )
        if not 0 <= self.dropout < 1:
            raise UserError(f"dropout is {self.dropout}: it must be at least 0 and less than 1")
        if self.position not in ("learned", "rotary"):
            raise UserError(f"position is {self.position!r}: it must be 'learned' or 'rotary'")
        if self.position == "rotary" and self.head_size % 2:
            raise UserError(f"rotary positions turn pairs of channels: n_embd / n_head = {self.head_size} is odd")

    @property
    def head_size(self) -> int:
        return self.n_embd // self.n_head


def attention(q: Tensor, k: Tensor, v: Tensor, dropout: float = 0.0) -> Tensor:
    """softmax(q kᵀ / √hs) v, where no token sees a later one ("Attention Is All You Need", section 3.2.1).

    q, k and v are (B, nh, T, hs), and so is what it returns.
    """
    scores = q / math.sqrt(q.size(-1)) @ k.transpose(-2, -1)  # (B, nh, T, T)
    scores = scores + causal_mask(q)
    weights = F.softmax(scores, dim=-1)  # (B, nh, T, T), each row sums to 1
    weights = drop(weights, dropout)
    return weights @ v  # (B, nh, T, hs)


def fused_attention(q: Tensor, k: Tensor, v: Tensor, dropout: float = 0.0) -> Tensor:
    """The same function in one call, which never stores the (T, T) scores: PyTorch's own kernels, among them
    FlashAttention (Dao et al. 2022)."""
    return F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=True)


def causal_mask(q: Tensor) -> Tensor:
    """(T, T) to add to scores: -inf where a key's place (column) comes after the query's (row), 0 elsewhere.

    Adding is a pass less over the scores, and one less over their gradient, than filling in.
    """
    T = q.size(-2)
    return q.new_full((T, T), float("-inf")).triu(1)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn channel pair i of each place t by the angle t / 10000^(2i/hs). x (B, nh, T, hs), cos and sin (T, hs).

    The score of two rotated vectors depends on their distance alone, not on where they stand. Pairs are
    (i, i + hs/2), as in GPT-NeoX: (x₁, x₂) becomes (x₁ cos - x₂ sin, x₂ cos + x₁ sin); the minus sign is in `sin`.
    """
    return x * cos.to(x.dtype) + x.roll(x.size(-1) // 2, dims=-1) * sin.to(x.dtype)


class CausalSelfAttention(nn.Module):
    """Every token gathers, from itself and the tokens before it, what it needs; n_head times side by side."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.config = config
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd)  # query, key and value in one product
        self.c_proj = nn.Linear(config.n_embd, config.n_embd)
        self.dropout = Dropout(config.dropout)
        self.fused = True  # which of the two attentions above; device.py knows the faster one

    def forward(self, x: Tensor, rotation: tuple[Tensor, Tensor] | None) -> Tensor:
        B, T, C = x.shape
        nh, hs = self.config.n_head, self.config.head_size
        qkv = self.c_attn(x).view(B, T, 3 * nh, hs).transpose(1, 2)  # (B, 3 nh, T, hs)
        qk, v = qkv.split((2 * nh, nh), dim=1)
        if rotation is not None:
            qk = rotate(qk, *rotation)
        q, k = qk.chunk(2, dim=1)  # 2 × (B, nh, T, hs)
        attend = fused_attention if self.fused else attention
        y = attend(q, k, v, self.config.dropout if self.training else 0.0)  # (B, nh, T, hs)
        y = y.transpose(1, 2).reshape(B, T, C)  # the heads' channels side by side again
        return self.dropout(self.c_proj(y))  # (B, T, C)


class MLP(nn.Module):
    """What each token makes, by itself, of what it gathered."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.c_fc = nn.Linear(config.n_embd, 4 * config.n_embd)
        # GPT-2 uses the tanh form, GPT-NeoX the exact one, which is also about twice as fast on a CPU.
        self.gelu = nn.GELU(approximate="tanh" if config.position == "learned" else "none")
        self.c_proj = nn.Linear(4 * config.n_embd, config.n_embd)
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.c_proj(self.gelu(self.c_fc(x))))  # (B, T, C)


class Block(nn.Module):
    """Attention, then the MLP, each added to a stream that runs straight through (residual connections)."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.n_embd)
        self.attn = CausalSelfAttention(config)
        self.ln_2 = nn.LayerNorm(config.n_embd)
        self.mlp = MLP(config)

    def forward(self, x: Tensor, rotation: tuple[Tensor, Tensor] | None) -> Tensor:
        x = x + self.attn(self.ln_1(x), rotation)
        x = x + self.mlp(self.ln_2(x))
        return x  # (B, T, C)


class Transformer(nn.Module):
    """Token ids to hidden states: embed, add or prepare positions, run the blocks, normalise."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.config = config
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        if config.position == "learned":
            self.wpe = nn.Embedding(config.context_length, config.n_embd)
        else:
            pair = torch.arange(0, config.head_size, 2) / config.head_size  # (hs/2,)
            angles = torch.outer(torch.arange(config.context_length).float(), 10000.0**-pair)  # (context, hs/2)
            cos, sin = angles.cos(), angles.sin()
            self.register_buffer("cos", torch.cat((cos, cos), dim=-1), persistent=False)  # (context, hs)
            self.register_buffer("sin", torch.cat((-sin, sin), dim=-1), persistent=False)  # (context, hs)
        self.dropout = Dropout(config.dropout)
        self.h = nn.ModuleList(Block(config) for _ in range(config.n_layer))
        self.ln_f = nn.LayerNorm(config.n_embd)
        self.apply(self._init_weights)
        for name, weight in self.named_parameters():
            if name.endswith("c_proj.weight"):  # 2 n_layer of them add up in the residual stream
                nn.init.normal_(weight, std=0.02 / math.sqrt(2 * config.n_layer))
        if config.position == "rotary":
            # Training pushes words of one kind, such as names, all the same way; vectors that start five times longer
            # stay apart, and copying a name is learned after half as many tokens. The logits start as small as ever.
            nn.init.normal_(self.wte.weight, std=0.1)
            nn.init.constant_(self.ln_f.weight, 0.2)

    @staticmethod
    def _init_weights(module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens (B, T) of ids -> hidden states (B, T, C). Raises UserError if T is more than the context."""
        T = tokens.size(1)
        if tokens.size(1) > self.config.context_length:
            raise UserError(f"{T} tokens do not fit the model's context of {self.config.context_length}")
        x = self.wte(tokens)  # (B, T, C)
        if self.config.position == "learned":
            x, rotation = x + self.wpe.weight[:T], None
        else:
            rotation = self.cos[:T], self.sin[:T]  # 2 × (T, hs)
        x = self.dropout(x)
        for block in self.h:
            x = block(x, rotation)
        return self.ln_f(x)  # (B, T, C)

    def use_fused_attention(self, fused: bool) -> None:
        """Attend by PyTorch's kernel or by the five lines above: the same numbers, at different speeds."""
        for block in self.h:
            block.attn.fused = fused


class GPT(nn.Module):
    """A Transformer under a language head: for every place, a score for each token that could come next."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.config = config
        self.transformer = Transformer(config)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        self.lm_head.weight = self.transformer.wte.weight  # one matrix, read both ways

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens (B, T) -> logits (B, T, V); row t scores what follows token t."""
        return self.lm_head(self.transformer(tokens))

    def num_params(self) -> int:
        """All weights, the tied matrix counted once."""
        return sum(p.numel() for p in self.parameters())

    def flops_per_token(self, context_length: int | None = None) -> int:
        """Floating-point operations to train on one token: 6 N + 12 n_layer n_embd T.

        The convention of PaLM (Chowdhery et al. 2022, appendix B): 2 for a multiply-add, forward once and
        backward twice; N leaves out learned positions, which are looked up and not multiplied; the whole T×T
        of the scores counts although half is masked.
        """
        T = context_length or self.config.context_length
        positions = self.transformer.wpe.weight.numel() if self.config.position == "learned" else 0
        return 6 * (self.num_params() - positions) + 12 * self.config.n_layer * self.config.n_embd * T
