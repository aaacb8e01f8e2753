"""GPT-2, written out: attention, MLP, block, and the stack of blocks under a language head.

Everything is as in "Language Models are Unsupervised Multitask Learners" (Radford et al. 2019, section 2.3): pre-norm
blocks, learned positions, tanh-GELU, biases, tied output weights. `position="rotary"` follows GPT-NeoX instead (exact
GELU; larger first embeddings are our own), `causal=False` BERT. gpt/fast/layers.py holds these layers' faster twins.

Shapes: B batch, T tokens, C channels (n_embd), nh heads, hs channels of one head (C = nh * hs), V vocabulary.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from gpt.errors import UserError


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
    causal: bool = True
    """tokens see what is before them; if not (--objective masked), both sides, except padding, which is the last id"""

    def __post_init__(self) -> None:
        for name in ("vocab_size", "context_length", "n_layer", "n_head", "n_embd"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}: it must be at least 1")
        if self.n_embd % self.n_head != 0:
            raise UserError(f"n_embd {self.n_embd} is not a multiple of n_head {self.n_head}: heads share it equally")
        if not 0 <= self.dropout < 1:
            raise UserError(f"dropout is {self.dropout}: it must be at least 0 and less than 1")
        if self.position not in ("learned", "rotary"):
            raise UserError(f"position is {self.position!r}: it must be 'learned' or 'rotary'")
        if self.position == "rotary" and self.head_size % 2:
            raise UserError(f"rotary positions turn pairs of channels: n_embd / n_head = {self.head_size} is odd")

    @property
    def head_size(self) -> int:
        return self.n_embd // self.n_head


class LayerNorm(nn.Module):
    """Bring each token's channels to mean 0 and variance 1, then scale and shift them (Ba et al. 2016)."""

    def __init__(self, channels: int, eps: float = 1e-5):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.eps = eps  # so that a constant vector does not divide by zero

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(-1, keepdim=True)  # (B, T, 1)
        variance = (x - mean).square().mean(-1, keepdim=True)  # (B, T, 1)
        return (x - mean) / torch.sqrt(variance + self.eps) * self.weight + self.bias  # (B, T, C)


class GELU(nn.Module):
    """x Φ(x), a ReLU with a soft corner (Hendrycks and Gimpel 2016); GPT-2 approximates it, GPT-NeoX does not."""

    def __init__(self, exact: bool):
        super().__init__()
        self.exact = exact

    def forward(self, x: Tensor) -> Tensor:
        if self.exact:
            return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))
        return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


class Dropout(nn.Module):
    """While training, each unit is 0 with probability p, else multiplied by 1 / (1 - p) (Srivastava et al. 2014)."""

    def __init__(self, p: float):
        super().__init__()
        self.p = p  # forward draws float32 numbers: in bfloat16 they would be multiples of 1/256

    def forward(self, x: Tensor) -> Tensor:
        return x * (torch.rand(x.shape, device=x.device) >= self.p) / (1 - self.p) if self.training and self.p else x


def rotate(x: Tensor) -> Tensor:
    """Turn channels (i, i + hs/2) of place t by the angle t / 10000^(2i/hs) ("RoFormer", Su et al. 2021, section 3.4.2;
    it pairs other channels). A query and a key's dot product then depends on their distance. x is (B, nh, T, hs)."""
    T, hs = x.shape[-2:]
    speeds = 10000.0 ** -(torch.arange(0, hs, 2, device=x.device) / hs)  # (hs/2,)
    angles = torch.outer(torch.arange(T, device=x.device).float(), speeds)  # (T, hs/2)
    x1, x2 = x.chunk(2, dim=-1)  # 2 × (B, nh, T, hs/2)
    cos, sin = angles.cos(), angles.sin()
    return torch.cat((x1 * cos - x2 * sin, x2 * cos + x1 * sin), dim=-1)  # (B, nh, T, hs)


def attention_weights(q: Tensor, k: Tensor, visible: Tensor | None = None) -> Tensor:
    """softmax(q kᵀ / √hs) ("Attention Is All You Need", Vaswani et al. 2017, section 3.2.1) of q and k (B, nh, T, hs):
    row t of (B, nh, T, T) says where token t looks, and sums to 1. visible: where it may look, by default not ahead."""
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.size(-1))  # (B, nh, T, T)
    if visible is None:  # the causal mask: a query (row) sees no key (column) that comes after it
        visible = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).tril()
    return scores.masked_fill(~visible, -math.inf).softmax(dim=-1)  # e^-inf is 0


class CausalSelfAttention(nn.Module):
    """Every token gathers what it needs from itself and the others that it may see, n_head times side by side."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.n_head, self.rotary = config.n_head, config.position == "rotary"
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd)  # query, key and value in one product
        self.c_proj = nn.Linear(config.n_embd, config.n_embd)
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor, visible: Tensor | None = None) -> Tensor:
        B, T, C = x.shape
        q, k, v = self.c_attn(x).split(C, dim=-1)  # what I look for, what I am found by, what I give: 3 × (B, T, C)
        q, k, v = (part.view(B, T, self.n_head, -1).transpose(1, 2) for part in (q, k, v))  # 3 × (B, nh, T, hs)
        if self.rotary:
            q, k = rotate(q), rotate(k)
        y = self.dropout(attention_weights(q, k, visible)) @ v  # (B, nh, T, T) @ (B, nh, T, hs) = (B, nh, T, hs)
        y = y.transpose(1, 2).reshape(B, T, C)  # the heads' channels side by side again
        return self.dropout(self.c_proj(y))  # (B, T, C)


class MLP(nn.Module):
    """Each token, by itself, works on what it gathered: to 4 C channels, through the GELU, and back to C."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.c_fc = nn.Linear(config.n_embd, 4 * config.n_embd)
        self.gelu = GELU(exact=config.position == "rotary")
        self.c_proj = nn.Linear(4 * config.n_embd, config.n_embd)
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.c_proj(self.gelu(self.c_fc(x))))  # (B, T, C)


class Block(nn.Module):
    """Attention, then the MLP, each added to a stream that runs straight through (residual connections)."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.ln_1 = LayerNorm(config.n_embd)
        self.attn = CausalSelfAttention(config)
        self.ln_2 = LayerNorm(config.n_embd)
        self.mlp = MLP(config)

    def forward(self, x: Tensor, visible: Tensor | None = None) -> Tensor:
        x = x + self.attn(self.ln_1(x), visible)
        return x + self.mlp(self.ln_2(x))  # (B, T, C)


class Transformer(nn.Module):
    """Token ids to hidden states: embed, add learned positions, run the blocks, normalise."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.config = config
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        if config.position == "learned":
            self.wpe = nn.Embedding(config.context_length, config.n_embd)
        self.dropout = Dropout(config.dropout)
        self.h: list[Block] = nn.ModuleList(Block(config) for _ in range(config.n_layer))  # type: ignore[assignment]
        self.ln_f = LayerNorm(config.n_embd)
        for name, weight in self.named_parameters():
            if weight.ndim == 2:
                nn.init.normal_(weight, std=0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(weight)
        for block in self.h:
            for matrix in (block.attn.c_proj.weight, block.mlp.c_proj.weight):  # 2 n_layer outputs are summed
                nn.init.normal_(matrix, std=0.02 / math.sqrt(2 * config.n_layer))
        if config.position == "rotary":
            nn.init.normal_(self.wte.weight, std=0.1)  # rare words stay distinct: copying is learned twice as fast
            nn.init.constant_(self.ln_f.weight, 0.2)  # 0.1 × 0.2 = 0.02: the first logits have GPT-2's size

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens (B, T) of ids -> hidden states (B, T, C). Raises UserError if T is more than the context."""
        if tokens.size(1) > self.config.context_length:
            raise UserError(f"{tokens.size(1)} tokens do not fit the model's context of {self.config.context_length}")
        x = self.wte(tokens)  # (B, T, C)
        if self.config.position == "learned":
            x = x + self.wpe.weight[: tokens.size(1)]
        x = self.dropout(x)
        visible = None if self.config.causal else (tokens != self.config.vocab_size - 1)[:, None, None]  # (B, 1, 1, T)
        for block in self.h:
            x = block(x, visible)
        return self.ln_f(x)  # (B, T, C)


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
        return sum(weight.numel() for weight in self.parameters())  # the tied matrix counts once
