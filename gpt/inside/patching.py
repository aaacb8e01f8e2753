"""Activation patching: put a part of what a model computed for one text into its run on another, and see whether its
answer changes. Where a patch moves the answer, that part carries what the two texts differ in.

"Locating and Editing Factual Associations in GPT" (Meng et al. 2022, section 2) patches the residual stream,
"Interpretability in the Wild" (Wang et al. 2022, section 3) single heads.

Shapes at the ends of lines: N patched runs, L layers, nh heads, T tokens, C channels, V vocabulary.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from gpt.errors import UserError
from gpt.model import GPT


class Patch(NamedTuple):
    """What comes into one part of a model becomes something else."""

    part: nn.Module
    values: Tensor  # (T, C)
    where: Tensor  # (N, T, C): true where each of N runs takes `values`

    def exchange(self, _: nn.Module, inputs: tuple) -> tuple:
        """The hook before the part."""
        return (torch.where(self.where, self.values, inputs[0]), *inputs[1:])


class Patching:
    """Two texts of the same number of tokens. Parts of the run on `other` go into the run on `tokens`.

    `answers` are the likeliest next tokens of the two texts, and `leads` the logit of the second answer minus that of
    the first, for each text. Each method returns how much of the way from one lead to the other every patch moves the
    model: 0 none, 1 all of it. It is below 0 for a patch that moves it away, and above 1 for one that overshoots.

    Raises UserError if the texts have different numbers of tokens, or the model gives both the same answer.
    """

    def __init__(self, model: GPT, tokens: list[int], other: list[int]):
        if len(tokens) != len(other):
            raise UserError(
                f"--text has {len(tokens)} tokens and --from-text {len(other)}: a state takes the place of another, so "
                "both need the same number; exchange single words"
            )
        self.model, self.tokens, self.other = model, tokens, other
        logits = next_logits(model, tokens), next_logits(model, other)  # 2 × (1, V)
        self.answers = [int(of_text.argmax()) for of_text in logits]
        if self.answers[0] == self.answers[1]:
            raise UserError("the model gives both texts the same answer: choose two that it answers differently")
        self.leads = [self.lead(of_text).item() for of_text in logits]

    def lead(self, logits: Tensor) -> Tensor:
        """(N, V) -> (N,)"""
        return logits[:, self.answers[1]] - logits[:, self.answers[0]]

    def moved(self, part: nn.Module, where: Tensor) -> Tensor:
        """(N,): for each of N runs, with what comes into `part` exchanged where `where` (N, T, C) is true."""
        patch = Patch(part, inputs_of(part, self.model, self.other), where)
        patched = next_logits(self.model, self.tokens, patch)
        return (self.lead(patched) - self.leads[0]) / (self.leads[1] - self.leads[0])

    def heads(self) -> Tensor:
        """(L, nh): the output of one head, at all tokens."""
        T = len(self.tokens)
        where = channels_of_heads(self.model)[:, None].expand(-1, T, -1)  # (nh, T, C)
        return torch.stack([self.moved(block.attn.c_proj, where) for block in self.model.transformer.h])

    def heads_at_tokens(self, layer: int) -> Tensor:
        """(nh, T): the output of one head of this layer, counted from 1, at one token. Raises UserError if there is no
        such layer."""
        blocks, T = self.model.transformer.h, len(self.tokens)
        if not 1 <= layer <= len(blocks):
            raise UserError(f"the layer is {layer}, but the model has {len(blocks)} layers, from 1 up")
        one_token = torch.eye(T, dtype=torch.bool)[:, :, None]  # (T, T, 1)
        heads = [
            self.moved(blocks[layer - 1].attn.c_proj, one_token & of_head) for of_head in channels_of_heads(self.model)
        ]
        return torch.stack(heads)

    def stream(self) -> Tensor:
        """(L + 1, T): the residual stream at one token, before the first block and after each."""
        body, T = self.model.transformer, len(self.tokens)
        where = torch.eye(T, dtype=torch.bool)[:, :, None].expand(-1, -1, self.model.config.n_embd)  # (T, T, C)
        return torch.stack([self.moved(part, where) for part in (*body.h, body.ln_f)])


def channels_of_heads(model: GPT) -> Tensor:
    """(nh, C): true at the channels of c_proj's input that come from each head. They stand side by side."""
    return torch.eye(model.config.n_head, dtype=torch.bool).repeat_interleave(model.config.head_size, dim=1)


@torch.no_grad()
def inputs_of(part: nn.Module, model: GPT, tokens: list[int]) -> Tensor:
    """(T, C): what comes into a part of the model when it reads a text."""
    kept: list[Tensor] = []
    handle = part.register_forward_pre_hook(lambda _, inputs: kept.append(inputs[0][0]))
    try:
        next_logits(model, tokens)
    finally:
        handle.remove()
    return kept[0]


@torch.no_grad()
def next_logits(model: GPT, tokens: list[int], patch: Patch | None = None) -> Tensor:
    """(N, V): the logits after a text, in each of the patch's N runs. Without a patch there is one run."""
    handles = []
    if patch is not None:
        handles.append(patch.part.register_forward_pre_hook(patch.exchange))
    try:
        ids = torch.tensor([tokens] * (1 if patch is None else len(patch.where)))
        return model.lm_head(model.transformer(ids)[:, -1])  # only what follows the last token
    finally:
        for handle in handles:
            handle.remove()
