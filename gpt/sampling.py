"""From a row of logits to a token: what each setting does to the probabilities, and one draw from them."""

import random
from dataclasses import dataclass

import torch
from torch import Tensor

from gpt.errors import UserError


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen. The settings act in the order in which they stand here, repetition first."""

    temperature: float = 1.0  # below 1 the likely tokens become likelier; 0 takes the likeliest
    top_k: int | None = None  # keep the k likeliest
    top_p: float | None = None  # keep the fewest that together reach probability p (Holtzman et al. 2020)
    min_p: float | None = None  # keep those at least p times as likely as the likeliest (Nguyen et al. 2024)
    repetition_penalty: float = 1.0  # above 1, tokens already in the text lose (Keskar et al. 2019, section 4.1)

    def __post_init__(self) -> None:
        # The smallest temperature is far below any use; smaller ones would vanish in float32.
        if self.temperature != 0 and not 1e-6 <= self.temperature < float("inf"):
            raise UserError(f"temperature is {self.temperature}: it must be 0 (likeliest token) or from 0.000001 up")
        if self.top_k is not None and self.top_k < 1:
            raise UserError(f"top-k is {self.top_k}: it must keep at least 1 token")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise UserError(f"top-p is {self.top_p}: it must be above 0 and at most 1")
        if self.min_p is not None and not 0 <= self.min_p <= 1:
            raise UserError(f"min-p is {self.min_p}: it must be at least 0 and at most 1")
        if not 0 < self.repetition_penalty < float("inf"):
            raise UserError(f"repetition penalty is {self.repetition_penalty}: it must be above 0 (1 changes nothing)")


def choose(logits: Tensor, seen: Tensor, sampling: Sampling, generators: list[random.Random]) -> Tensor:
    """The next token (B,) of each row: logits (B, V), and which tokens its text holds already, seen (B, V)."""
    if sampling.repetition_penalty != 1:
        logits = penalise(logits, seen, sampling.repetition_penalty)
    if sampling.temperature == 0:
        return logits.argmax(-1)
    return draw(probabilities(logits, sampling), generators)


def penalise(logits: Tensor, seen: Tensor, penalty: float) -> Tensor:
    """Logits (B, V), lowered where `seen` (B, V) is true: positive ones are divided by `penalty`, others multiplied."""
    return torch.where(seen, torch.where(logits > 0, logits / penalty, logits * penalty), logits)


def probabilities(logits: Tensor, sampling: Sampling) -> Tensor:
    """(B, V) logits to the (B, V) probabilities that are drawn from, 0 where a token is out. Needs temperature > 0.

    As in `transformers`: temperature, then top-k, top-p and min-p, each looking at what the one before has left.
    """
    likeliest = logits.amax(-1, keepdim=True)  # taking it off changes no probability, and keeps all of them finite
    p = ((logits - likeliest) / sampling.temperature).softmax(-1)
    if sampling.top_k is not None and sampling.top_k < p.size(-1):
        kept, tokens = p.topk(sampling.top_k)
        p = torch.zeros_like(p).scatter(-1, tokens, kept)
    if sampling.top_p is not None and sampling.top_p < 1:
        likeliest_first, tokens = p.sort(dim=-1, descending=True, stable=True)
        before = likeliest_first.cumsum(-1) - likeliest_first  # what the likelier ones reach without this one
        out = before >= sampling.top_p * likeliest_first.sum(-1, keepdim=True)
        p = p.scatter(-1, tokens, likeliest_first.masked_fill(out, 0.0))
    if sampling.min_p is not None:
        p = p.masked_fill(p < sampling.min_p * p.amax(-1, keepdim=True), 0.0)
    return p / p.sum(-1, keepdim=True)


def draw(p: Tensor, generators: list[random.Random]) -> Tensor:
    """One token (B,) from each row of (B, V) probabilities: the first at which they add up to a random number.

    Every row has its own generator and takes one number from it, so no row's text depends on its neighbours.
    """
    # 32 bits, not 53: the largest number times the total then stays below the total in float64, so that no draw goes
    # beyond the last token.
    u = [[generator.getrandbits(32) / 2**32] for generator in generators]
    cumulative = p.cumsum(-1, dtype=torch.float64)  # (B, V)
    target = torch.tensor(u, dtype=torch.float64, device=p.device) * cumulative[:, -1:]  # (B, 1)
    return torch.searchsorted(cumulative, target, right=True)[:, 0]
