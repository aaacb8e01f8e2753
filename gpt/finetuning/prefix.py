"""Prefix-tuning: fine-tune a model by what its attention finds before the text ("Prefix-Tuning: Optimizing Continuous
Prompts for Generation", Li and Liang 2021).

In every layer, n learned keys and values stand before those of the text, as if n more tokens had been read; every token
of the text sees them:

    softmax(q [P_K; K]ᵀ / √hs) [P_V; V]        with P_K and P_V (n, hs) for each head

As in the library peft, the prefix takes the first n places of the context, and the text begins at place n: the first n
learned positions are left out, rotary queries and keys of the text turn as from place n, and the learned keys do not
turn, like those in a cache. They are trained directly (the paper makes them by an MLP) and begin near zero. As they
take a share of the attention, this is not exactly the pretrained function.
"""

import dataclasses

import torch
from torch import Tensor, nn

from gpt.classifier import GPTClassifier
from gpt.errors import UserError
from gpt.fast.layers import AddedMaskAttention, FastAttention, KernelAttention
from gpt.finetuning.tagger import GPTTagger
from gpt.model import GPT, CausalSelfAttention, GPTConfig, attention_weights, rotate


def see_prefix(prefix: Tensor, k: Tensor, v: Tensor, visible: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Keys and values (B, nh, n + T, hs): the prefix (2, nh, n, hs), then those of the text (B, nh, T, hs). And where a
    token may look, (..., n + T): at the prefix, and where `visible` says, by default not ahead."""
    keys, values = prefix.to(k.dtype)[:, None].expand(-1, len(k), -1, -1, -1)  # 2 × (B, nh, n, hs)
    if visible is None:
        visible = torch.ones(k.size(2), k.size(2), dtype=torch.bool, device=k.device).tril()
    visible = nn.functional.pad(visible, (prefix.size(2), 0), value=True)
    return torch.cat((keys, k), 2), torch.cat((values, v), 2), visible


class PrefixAttention(CausalSelfAttention):
    """Attention with learned keys and values before those of the text."""

    prefix: nn.Parameter  # (2, nh, n, hs): keys, values
    twins: dict[type, type]  # fast attention -> the same with a prefix, for speed_up

    def forward(self, x: Tensor, visible: Tensor | None = None) -> Tensor:
        B, T, C = x.shape
        n = self.prefix.size(2)
        qkv = self.c_attn(x).split(C, dim=-1)  # 3 × (B, T, C)
        q, k, v = (part.view(B, T, self.n_head, -1).transpose(1, 2) for part in qkv)  # 3 × (B, nh, T, hs)
        if self.rotary:  # n empty places before the text
            q, k = (rotate(nn.functional.pad(part, (0, 0, n, 0)))[:, :, n:] for part in (q, k))
        k, v, visible = see_prefix(self.prefix, k, v, visible)  # 2 × (B, nh, n + T, hs)
        y = self.dropout(attention_weights(q, k, visible)) @ v  # (B, nh, T, n + T) @ (B, nh, n + T, hs)
        y = y.transpose(1, 2).reshape(B, T, C)
        return self.dropout(self.c_proj(y))  # (B, T, C)


class FastPrefixAttention(FastAttention):
    """The same beside a fast twin of attention."""

    prefix: nn.Parameter

    def prepare(self, config: GPTConfig, device: torch.device) -> None:
        n = self.prefix.size(2)
        super().prepare(dataclasses.replace(config, context_length=n + config.context_length), device)
        if self.rotary:
            self.cos, self.sin = self.cos[n:], self.sin[n:]

    def attend(self, q: Tensor, k: Tensor, v: Tensor, visible: Tensor | None) -> Tensor:
        return super().attend(q, *see_prefix(self.prefix, k, v, visible))


class PrefixKernelAttention(FastPrefixAttention, KernelAttention): ...


class PrefixAddedMaskAttention(FastPrefixAttention, AddedMaskAttention): ...


PrefixAttention.twins = {KernelAttention: PrefixKernelAttention, AddedMaskAttention: PrefixAddedMaskAttention}


def context_after(prefix: int, context_length: int) -> int:
    """The places that a prefix leaves to the text. Raises UserError if these are fewer than two."""
    if prefix > context_length - 2:
        raise UserError(f"prefix: a length of {prefix} leaves no room for text in the context of {context_length}")
    return context_length - prefix


def add_prefix(model: GPT | GPTClassifier | GPTTagger, length: int) -> None:
    """Give every attention a prefix, and the model a context that is shorter by it. The body is frozen, but for the
    last norm. Raises UserError if the prefix leaves no room for text."""
    body = model.transformer
    body.requires_grad_(False)
    body.ln_f.requires_grad_(True)
    shorter = dataclasses.replace(model.config, context_length=context_after(length, model.config.context_length))
    model.config = body.config = shorter
    if shorter.position == "learned":
        body.wpe.weight = nn.Parameter(body.wpe.weight[length:].clone(), requires_grad=False)
    for block in body.h:
        block.attn.__class__ = PrefixAttention
        like = block.attn.c_attn.weight
        block.attn.prefix = nn.Parameter(0.02 * torch.randn(2, shorter.n_head, length, shorter.head_size).to(like))
