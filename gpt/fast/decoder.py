"""The same GPT, written for generating: plain function calls around a cache of keys and values.

Generating asks for one token at a time, and then a small model's time goes into calling, not into computing. So here
the network of model.py is written out once more as the formula it is: no modules to call, no dropout, and weights
laid out for a single token. A test holds the two equal.

Keys and values of what was read stay in the cache, so the next token costs one token's work. Texts of different
lengths share a batch by leaving the places in front of the shorter ones empty (left padding):

    slot        0  1  2  3  4  5         padding
    row 0       A  B  C  D  E  F  ...    0
    row 1       .  .  .  .  A  B  ...    4: hidden from its queries, and its positions start at slot 4

A prefix of learned keys and values (prefix-tuning) stands in the cache before slot 0, where every row sees it.

Shapes at the ends of lines: B rows, T tokens of this call, S slots in use, C channels, nh heads, hs channels of a
head, V vocabulary.
"""

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gpt.fast.layers import rotary_tables
from gpt.fast.linear import Function, few_rows_linear
from gpt.generate import check_causal
from gpt.model import GPT, LayerNorm


def direct_norm(layer: LayerNorm) -> Function:
    """A LayerNorm without its module's call."""
    shape, weight, bias, eps = layer.weight.shape, layer.weight.detach(), layer.bias.detach(), layer.eps
    return lambda x: torch.layer_norm(x, shape, weight, bias, eps)


class Decoder:
    """A model and the cache of what it has read in every row of a batch. Room for `capacity` tokens a row; quickest for
    about as many rows as it is made for. Raises UserError if the model is not causal: where tokens see both sides, each
    new one would change what is cached."""

    def __init__(self, model: GPT, capacity: int, rows: int = 1):
        check_causal(model)
        self.config, self.capacity = model.config, capacity
        self.length = 0  # slots in use
        self.padding: Tensor | None = None  # (B,) empty slots at the start of each row; None when there are none
        transformer = model.transformer
        self.like = transformer.ln_f.weight  # a float weight, for the cache's type and device
        attentions: list[Any] = [block.attn for block in transformer.h]
        self.prefixes = [a.prefix for a in attentions if hasattr(a, "prefix")]  # each (2, nh, before, hs)
        self.before = self.prefixes[0].size(2) if self.prefixes else 0  # places of a prefix
        self.embed, self.final_norm = transformer.wte.forward, direct_norm(transformer.ln_f)
        self.head = few_rows_linear(model.lm_head, rows)
        if self.config.position == "learned":
            self.positions = transformer.wpe.weight  # (context, C)
        else:
            tables = rotary_tables(self.before + self.config.context_length, self.config.head_size)
            cos, sin = (table[self.before :].to(self.like) for table in tables)  # 2 × (context, hs)
            # For queries, keys and values, which are not turned: 2 × (context, 3, 1, hs).
            self.cos = torch.stack((cos, cos, torch.ones_like(cos)), 1).unsqueeze(2)
            self.sin = torch.stack((sin, sin, torch.zeros_like(sin)), 1).unsqueeze(2)
        gelu = partial(F.gelu, approximate="none" if self.config.position == "rotary" else "tanh")
        self.blocks = [
            (
                direct_norm(block.ln_1),
                few_rows_linear(block.attn.c_attn, rows),
                few_rows_linear(block.attn.c_proj, rows),
                direct_norm(block.ln_2),
                few_rows_linear(block.mlp.c_fc, rows),
                gelu,
                few_rows_linear(block.mlp.c_proj, rows),
            )
            for block in transformer.h
        ]
        self.caches: list[Tensor] = []  # for each block one of keys and values, (2, B, nh, before + capacity, hs)

    @torch.inference_mode()
    def read(self, texts: list[list[int]]) -> Tensor:
        """Forget everything, read one text in each row, at most `capacity` tokens; logits (B, V) of what is next."""
        B, T = len(texts), max(map(len, texts))
        self.length = 0
        padding = [T - len(text) for text in texts]
        tokens = torch.tensor([[0] * n + text for n, text in zip(padding, texts, strict=True)], device=self.like.device)
        shape = (2, B, self.config.n_head, self.before + self.capacity, self.config.head_size)
        self.caches = [self.like.new_empty(shape) for _ in self.blocks]
        for cache, prefix in zip(self.caches, self.prefixes, strict=False):  # in all blocks, or none
            cache[:, :, :, : self.before] = prefix.unsqueeze(1)
        slots = torch.arange(self.capacity, device=self.like.device)
        earlier = slots[:T] <= slots[:T, None]  # (T, T)
        if not any(padding):
            self.padding = None
            return self.forward(tokens, earlier if self.before else None)
        self.padding = torch.tensor(padding, device=self.like.device)
        self.visible = slots >= self.padding[:, None]  # (B, capacity)
        mask = self.visible[:, None, :T] & earlier  # (B, T, T)
        mask |= torch.eye(T, dtype=torch.bool, device=mask.device)  # an empty slot sees itself: no softmax of nothing
        return self.forward(tokens, mask[:, None])

    @torch.inference_mode()
    def step(self, tokens: list[int]) -> Tensor:
        """Read one more token in each row; logits (B, V) of what comes next."""
        mask = None if self.padding is None else self.visible[:, None, None, : self.length + 1]  # (B, 1, 1, S)
        return self.forward(torch.tensor(tokens, device=self.like.device)[:, None], mask)

    def select(self, rows: list[int]) -> None:
        """Go on with these rows of the cache alone, in this order. A row named twice is copied: two samples of
        one prompt need not read it twice."""
        index = torch.tensor(rows, device=self.like.device)
        self.caches = [cache[:, index] for cache in self.caches]
        if self.padding is not None:
            self.padding, self.visible = self.padding[index], self.visible[index]

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Logits (B, V) after the last of `tokens` (B, T); see hidden."""
        last = self.hidden(tokens, mask)[:, -1]  # (B, C): only the last position predicts the next token
        return self.head(self.final_norm(last))  # (B, V)

    def hidden(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """What the blocks make of `tokens` (B, T), which take the next T slots: (B, T, C), before the final norm. The
        mask is true where a query may look, beside a prefix; without one, several tokens see their past and a single
        one sees everything."""
        B, T = tokens.shape
        start, self.length = self.length, self.length + T
        first, end = self.before + start, self.before + self.length  # of the new slots in the cache
        if self.before and mask is not None:
            mask = F.pad(mask, (self.before, 0), value=True)
        C, hs = self.config.n_embd, self.config.head_size
        x = self.embed(tokens)  # (B, T, C)
        rotary = self.config.position == "rotary"
        if rotary:
            cos, sin = (self.places(table, start, T) for table in (self.cos, self.sin))  # 2 × ([B,] T, 3, 1, hs)
        else:
            x = x + self.places(self.positions, start, T)
        x = x.view(B * T, C)  # one row for each token: only attention asks which text it belongs to
        for (ln_1, c_attn, attn_proj, ln_2, c_fc, gelu, mlp_proj), cache in zip(self.blocks, self.caches, strict=True):
            qkv = c_attn(ln_1(x)).view(B, T, 3, -1, hs)  # (B, T, 3, nh, hs)
            if rotary:
                qkv = torch.addcmul(qkv * cos, qkv.roll(hs // 2, -1), sin)
            qkv = qkv.permute(2, 0, 3, 1, 4)  # (3, B, nh, T, hs)
            k, v = self.remember(cache, qkv.narrow(0, 1, 2), first, end).unbind(0)  # 2 × (B, nh, S, hs)
            y = self.attend(qkv.select(0, 0), k, v, mask)  # (B, nh, T, hs)
            gathered = x + attn_proj(y.transpose(1, 2).reshape(B * T, C))
            x = self.after_block(x, gathered + mlp_proj(gelu(c_fc(ln_2(gathered)))))
        return x.view(B, T, C)

    def after_block(self, before: Tensor, after: Tensor) -> Tensor:
        """What a block passes on, of its input and its output, both (B · T, C): the output. (A decoder whose tokens
        leave early, gpt/inside/adaptive_depth.py, does otherwise.)"""
        return after

    def remember(self, cache: Tensor, new: Tensor, first: int, end: int) -> Tensor:
        """Put the keys and values of new tokens (2, B, nh, T, hs) into their slots; returns all S so far."""
        cache.narrow(3, first, end - first).copy_(new)
        return cache.narrow(3, 0, end)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None and q.size(2) > 1)

    def places(self, table: Tensor, start: int, T: int) -> Tensor:
        """The rows of a table of positions for T slots from `start`: (T, ...), or (B, T, ...) where rows differ."""
        if self.padding is None:
            return table.narrow(0, start, T)
        slots = torch.arange(start, start + T, device=table.device)
        return table[(slots - self.padding[:, None]).clamp(min=0)]
