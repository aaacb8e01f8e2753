"""The decoder for a GPU: one step is recorded once and then replayed.

A GPU computes one token of GPT-2 in less time than Python needs to ask for its 200 small operations. A CUDA graph
asks for all of them at once. But a graph repeats exactly what was recorded, with the same tensors in the same places.
So what changes from step to step is kept in tensors: the tokens, and the slot they take. The step looks at the whole
cache, and a mask hides the slots that are still empty.

    recorded once:   tokens (B, 1), slot (1,)  ->  logits (B, V)
    every step:      fill tokens and slot, replay

Shapes as in decoder.py.
"""

import math

import torch
from torch import Tensor

from gpt.fast.decoder import Decoder
from gpt.model import GPT


class RecordedDecoder(Decoder):
    """A Decoder whose single steps are replayed as a CUDA graph. On other devices, it computes them as they would be
    recorded, which is slower than a Decoder; that is for tests."""

    def __init__(self, model: GPT, capacity: int, rows: int = 1):
        super().__init__(model, capacity, rows)
        self.slot = torch.zeros(1, dtype=torch.long, device=self.like.device)  # what a step's tokens take
        self.cache_slot = self.slot + self.before  # the same, counted from the first place of a prefix
        self.stepping = False  # false while a prompt is read
        self.recorded: Tensor | None = None  # (B, 1) the tokens of the recorded step; None until there is one
        self.graph: torch.cuda.CUDAGraph | None = None

    @torch.inference_mode()
    def read(self, texts: list[list[int]]) -> Tensor:
        self.recorded = None
        logits = super().read(texts)
        for cache in self.caches:
            cache[:, :, :, self.before + self.length :] = 0  # the mask gives these no weight, but 0 · NaN would be NaN
        return logits

    @torch.inference_mode()
    def step(self, tokens: list[int]) -> Tensor:
        self.slot.fill_(self.length)
        self.cache_slot.fill_(self.before + self.length)
        if self.recorded is None:
            self.recorded = self.record(len(tokens))
        self.recorded[self.rows, 0] = torch.tensor(tokens, device=self.like.device)
        if self.graph is None:
            self.logits = self.one_step(self.recorded)
        else:
            self.graph.replay()
        self.length += 1
        return self.logits[self.rows]

    def select(self, rows: list[int]) -> None:
        """As Decoder.select. While more than half of the recorded rows go on, the others are computed in vain, because
        recording anew takes longer."""
        if self.recorded is None:
            super().select(rows)
            return
        kept = self.rows[torch.tensor(rows, device=self.like.device)]
        if len(set(rows)) == len(rows) and 2 * len(rows) > len(self.recorded):
            self.rows = kept
        else:
            self.recorded = None
            super().select(kept.tolist())

    def record(self, count: int) -> Tensor:
        """Make ready for steps of this many rows, on a GPU by recording one. Returns the tensor of their tokens."""
        self.rows = torch.arange(count, device=self.like.device)  # those of the recorded rows that still count
        self.graph, tokens = None, torch.zeros(count, 1, dtype=torch.long, device=self.like.device)
        if self.like.device.type == "cuda":
            aside = torch.cuda.Stream()
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):  # first without recording: it loads kernels, which cannot be recorded
                self.one_step(tokens)
            torch.cuda.current_stream().wait_stream(aside)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                self.logits = self.one_step(tokens)
            self.graph = graph
        return tokens

    def one_step(self, tokens: Tensor) -> Tensor:
        """Logits (B, V) after one more token in each row, `tokens` (B, 1). What differs from step to step is read from
        tensors, so that it can be recorded."""
        length, self.stepping = self.length, True
        mask = (torch.arange(self.capacity, device=self.like.device) <= self.slot)[None, None, None]
        if self.padding is not None:
            mask = mask & self.visible[:, None, None]  # (B, 1, 1, capacity)
        logits = self.forward(tokens, mask)
        self.length, self.stepping = length, False  # step counts
        return logits

    def remember(self, cache: Tensor, new: Tensor, first: int, end: int) -> Tensor:
        if not self.stepping:
            return super().remember(cache, new, first, end)
        cache.index_copy_(3, self.cache_slot, new)
        return cache

    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        if not self.stepping or mask is None:
            return super().attend(q, k, v, mask)
        # For a single query, the formula takes a third of the time of PyTorch's kernel, which is made for many.
        scores = q @ k.transpose(-2, -1) / math.sqrt(q.size(-1))  # (B, nh, 1, S)
        return scores.where(mask, -math.inf).softmax(-1) @ v

    def places(self, table: Tensor, start: int, T: int) -> Tensor:
        if not self.stepping:
            return super().places(table, start, T)
        if self.padding is None:
            return table[self.slot]
        return table[(self.slot - self.padding[:, None]).clamp(min=0)]
