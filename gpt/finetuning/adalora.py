"""AdaLoRA: LoRA that moves its ranks to where they matter ("Adaptive Budget Allocation for Parameter-Efficient
Fine-Tuning", Zhang et al. 2023, section 3).

A matrix W (out × in) stays as it is; beside it P Λ Q is learned, with P (out × rank), Λ diagonal and Q (rank × in): the
shape of a singular value decomposition, which a penalty keeps P and Q near to. A triplet is a column of P, its λ and
its row of Q. Λ starts at zero, so training starts at exactly the pretrained function. All matrices share a budget of
triplets, which shrinks: after each step (in the paper, every few) only the most important ones of all keep their λ.
"""

import copy

import torch
from torch import Tensor, nn

from gpt.lora import LoraLinear, add_lora
from gpt.model import Transformer

WARM_UP, SETTLED = 0.1, 0.5  # share of the steps before which the budget is whole, and after which it stays small
BETA = 0.85  # how slowly sensitivity and uncertainty follow, β₁ and β₂ of the paper
FACTORS = ("lora_a", "lora_b", "lora_e")  # Q, P and Λ, as LoRA and the library peft call them


class SVDLinear(LoraLinear):
    """A linear layer that stays as it is, plus P Λ Q. It remembers how important each of their numbers was."""

    lora_e: nn.Parameter  # (rank,): the diagonal of Λ

    def begin(self) -> None:
        """Turn a fresh LoraLinear into this."""
        self.lora_e = nn.Parameter(self.lora_a.new_zeros(len(self.lora_a)))
        for weight in (self.lora_a, self.lora_b):
            nn.init.normal_(weight, std=0.02)
        for name in FACTORS:  # running means; as buffers they are part of what a run resumes from
            for kind in ("sensitivity", "uncertainty"):
                self.register_buffer(f"{name}_{kind}", torch.zeros_like(getattr(self, name)))

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) + (x @ self.lora_a.T * self.lora_e) @ self.lora_b.T * self.scale  # (B, T, out)

    def importance(self) -> Tensor:
        """(rank,): of each triplet. Of a number, it is its sensitivity times its uncertainty."""
        q, p, e = (self.get_buffer(f"{n}_sensitivity") * self.get_buffer(f"{n}_uncertainty") for n in FACTORS)
        return e + p.mean(0) + q.mean(1)


def add_adalora(body: Transformer, rank: int, alpha: float, targets: tuple[str, ...]) -> None:
    """As add_lora, with P Λ Q of this rank."""
    add_lora(body, rank, alpha, targets)
    for part in body.modules():
        if isinstance(part, LoraLinear):
            part.__class__ = SVDLinear
            part.begin()  # type: ignore[operator]


def adapted_layers(model: nn.Module) -> list[SVDLinear]:
    return [part for part in model.modules() if isinstance(part, SVDLinear)]


def distance_from_orthogonal(model: nn.Module) -> Tensor:
    """‖PᵀP - I‖² + ‖QQᵀ - I‖² over all matrices."""
    grams = [rows @ rows.T for layer in adapted_layers(model) for rows in (layer.lora_b.T, layer.lora_a)]
    return torch.stack([(gram - torch.eye(len(gram), device=gram.device)).square().sum() for gram in grams]).sum()


def budget(step: int, max_steps: int, first: int, last: int) -> int:
    """The number of triplets after `step` of max_steps steps: `first`, then less along a cubic, then `last`."""
    past = (step - WARM_UP * max_steps) / ((SETTLED - WARM_UP) * max_steps)
    return last + round((first - last) * (1 - min(max(past, 0), 1)) ** 3)


@torch.no_grad()
def measure_importance(model: nn.Module, step: int, max_steps: int, scale: float) -> None:
    """Between the gradients of `step`, which are `scale` times too large, and its update: follow the sensitivity
    |w ∂L/∂w| of each number, and how uncertain it is, until the budget has settled."""
    for layer in adapted_layers(model) if step < SETTLED * max_steps else ():
        for name in FACTORS:
            weight, mean, spread = (getattr(layer, name + end) for end in ("", "_sensitivity", "_uncertainty"))
            now = (weight * weight.grad / scale).abs().nan_to_num(0, 0)  # float16 may overflow
            mean.lerp_(now, 1 - BETA)
            spread.lerp_((now - mean).abs(), 1 - BETA)


@torch.no_grad()
def keep_most_important(model: nn.Module, step: int, max_steps: int, last_rank: int) -> None:
    """Set λ to 0 outside the most important triplets of all matrices, as many as the budget after `step` steps."""
    layers = adapted_layers(model)
    number = budget(step, max_steps, sum(len(layer.lora_e) for layer in layers), last_rank * len(layers))
    importance = torch.cat([layer.importance() for layer in layers])
    kept = torch.zeros_like(importance).index_fill(0, importance.topk(number).indices, 1)
    for layer, of_layer in zip(layers, kept.split([len(layer.lora_e) for layer in layers]), strict=True):
        layer.lora_e.mul_(of_layer)


def to_lora(model: nn.Module) -> nn.Module:
    """A copy with plain LoRA layers, whose B is P Λ."""
    model = copy.deepcopy(model)
    for layer in adapted_layers(model):
        layer.lora_b = nn.Parameter(layer.lora_b * layer.lora_e)
        layer.__class__ = LoraLinear  # type: ignore[assignment]
    return model
