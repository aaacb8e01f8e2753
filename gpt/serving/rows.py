"""The decoder for a batch whose rows come and go: each text has a cache of its own, and no sum depends on the others.

Texts that are served together begin and end at different times, and between two tokens any of them may join or leave.
So attention, the only layer that looks at other tokens, is computed for each text by itself; all other layers take one
row from each text and read every weight once for all of them ("Orca: A Distributed Serving System for
Transformer-Based Generative Models", Yu et al. 2022, section 3.2: selective batching).

A row's logits must be the same alone and in a crowd, to the last bit, or else a close draw would fall differently.
Matrix products do not promise that: the library adds up one row in another order than five, and five in another than
forty. So here products always have ROWS rows: a batch is cut into groups of that size, and the last one is filled up
with rows that nobody reads. A prompt is read alone. Then all shapes depend on the text itself and nothing else.

Shapes: N texts, T tokens, C channels, nh heads, hs channels of a head, V vocabulary.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from gpt.fast.decoder import Decoder
from gpt.fast.linear import Function
from gpt.model import GPT

ROWS = 16  # of every product: reading the weights takes most of the time, so these cost little more than one row


@dataclass(eq=False)
class CacheRow:
    """The keys and values of one text."""

    cache: Tensor  # (L, 2, nh, before + capacity, hs); before: the places of a prefix
    length: int  # tokens that were read

    def copy(self) -> "CacheRow":
        return CacheRow(self.cache.clone(), self.length)


class RowDecoder(Decoder):
    """A model that continues texts whose caches are kept apart. Raises UserError if the model is not causal."""

    def __init__(self, model: GPT):
        super().__init__(model, model.config.context_length, ROWS)

    @torch.inference_mode()
    def begin(self, tokens: list[int], capacity: int) -> tuple[CacheRow, Tensor]:
        """Read a text into a new row with room for `capacity` tokens; its states (T, C), ready for `head`."""
        self.length, self.padding = 0, None
        shape = (len(self.blocks), 2, self.config.n_head, self.before + capacity, self.config.head_size)
        cache = self.like.new_empty(shape)
        for block, prefix in zip(cache, self.prefixes, strict=False):  # in all blocks, or none
            block[:, :, : self.before] = prefix
        self.caches = list(cache.unsqueeze(2))  # L × (2, 1, nh, before + capacity, hs)
        T = len(tokens)
        mask = torch.ones(T, T, dtype=torch.bool, device=self.like.device).tril() if self.before else None
        states = self.hidden(torch.tensor([tokens], device=self.like.device), mask)[0]  # (T, C)
        self.caches = []  # the row alone holds them
        return CacheRow(cache, T), self.final_norm(states)

    @torch.inference_mode()
    def advance(self, rows: list[CacheRow], tokens: list[int]) -> Tensor:
        """Read one more token in each of these rows; logits (N, V) of what comes next. M: N rounded up to groups."""
        N, unused = len(rows), -len(rows) % ROWS
        x = self.embed(torch.tensor(tokens + [0] * unused, device=self.like.device))  # (M, C)
        places = torch.tensor([row.length for row in rows] + [0] * unused, device=self.like.device)
        rotary = self.config.position == "rotary"
        if rotary:
            cos, sin = self.cos[places], self.sin[places]  # 2 × (M, 3, 1, hs)
        else:
            x = x + self.positions[places]
        # Views of all caches, made once for all blocks: where the new keys and values go, and all up to these.
        slots = [self.before + row.length for row in rows]
        new = [row.cache.select(3, slot).unbind() for row, slot in zip(rows, slots, strict=True)]  # N × L × (2, nh, hs)
        seen = [row.cache.narrow(3, 0, slot + 1).unsqueeze(2) for row, slot in zip(rows, slots, strict=True)]
        seen = [one.flatten(0, 1).unbind() for one in seen]  # N × 2L × (1, nh, S, hs)
        shape = (len(x), 3, self.config.n_head, self.config.head_size)
        for number, (ln_1, c_attn, attn_proj, ln_2, c_fc, gelu, mlp_proj) in enumerate(self.blocks):
            qkv = in_groups(c_attn, ln_1(x)).view(shape)  # (M, 3, nh, hs)
            if rotary:  # each operation rounds by itself, so that it is the same in any place of a vector of the CPU
                qkv = qkv * cos + qkv.roll(shape[-1] // 2, -1) * sin
            q = qkv[:, :1].transpose(1, 2)  # (M, nh, 1, hs)
            for place, kept in zip(new, qkv[:, 1:].unbind(), strict=False):  # (2, nh, hs) each
                place[number].copy_(kept)
            heads = [
                F.scaled_dot_product_attention(query, one[2 * number], one[2 * number + 1])  # (1, nh, 1, hs)
                for query, one in zip(q.split(1), seen, strict=False)
            ]
            y = torch.cat([*heads, q[N:]])  # (M, nh, 1, hs)
            x = x + in_groups(attn_proj, y.view(len(x), -1))
            x = x + in_groups(mlp_proj, self.by_rows(gelu, in_groups(c_fc, ln_2(x))))
        for row in rows:
            row.length += 1
        return in_groups(self.head, self.final_norm(x))[:N]  # (N, V)

    def by_rows(self, gelu: Function, x: Tensor) -> Tensor:
        """gelu(x). Where several threads of a CPU share a tensor, the ends of their parts are rounded in another way
        than the rest; so there each row is one tensor."""
        if self.like.device.type != "cpu" or torch.get_num_threads() == 1:
            return gelu(x)
        return torch.cat([gelu(row) for row in x.split(1)])


def in_groups(function: Function, x: Tensor) -> Tensor:
    """function(x) for each ROWS rows of x by themselves."""
    return function(x) if len(x) == ROWS else torch.cat([function(group) for group in x.split(ROWS)])
