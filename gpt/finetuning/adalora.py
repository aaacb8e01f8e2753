"""AdaLoRA: LoRA that moves its ranks to where they matter ("Adaptive Budget Allocation for Parameter-Efficient
Fine-Tuning", Zhang et al. 2023; equations by its numbers).

A matrix W (out × in) stays as it is; beside it P Λ Q is learned (3), with P (out × rank), Λ diagonal and Q (rank × in):
the shape of a singular value decomposition, which a penalty keeps P and Q near to (4). A triplet is a column of P, its
λ and its row of Q. Λ starts at zero, so training starts at exactly the pretrained function. All matrices share a budget
of triplets, which shrinks over training: after each step only the most important triplets of all keep their λ, and the
others' becomes 0 (in the paper, after every few steps).
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
        """Turn what a fresh LoraLinear holds into this."""
        self.lora_e = nn.Parameter(self.lora_a.new_zeros(len(self.lora_a)))
        for weight in (self.lora_a, self.lora_b):
            nn.init.normal_(weight, std=0.02)
        for name in FACTORS:  # running means; as buffers they are part of what a run resumes from
            for kind in ("sensitivity", "uncertainty"):
                self.register_buffer(f"{name}_{kind}", torch.zeros_like(getattr(self, name)))

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) + (x @ self.lora_a.T * self.lora_e) @ self.lora_b.T * self.scale  # (B, T, out)

    def measure(self, scale: float) -> None:
        """Follow |w ∂L/∂w| of each number by (9), and by (10) how uncertain that is. scale: of the gradients."""
        for name in FACTORS:
            weight = getattr(self, name)
            change = (weight * weight.grad / scale).abs().nan_to_num(0, 0)  # float16 may overflow
            mean, spread = self.get_buffer(f"{name}_sensitivity"), self.get_buffer(f"{name}_uncertainty")
            mean.lerp_(change, 1 - BETA)
            spread.lerp_((change - mean).abs(), 1 - BETA)

    def importance(self) -> Tensor:
        """(rank,): of each triplet, by (7) and (11)."""
        q, p, e = (self.get_buffer(f"{n}_sensitivity") * self.get_buffer(f"{n}_uncertainty") for n in FACTORS)
        return e + p.mean(0) + q.mean(1)


def add_adalora(body: Transformer, rank: int, alpha: float, targets: tuple[str, ...]) -> None:
    """As add_lora, with P Λ Q of this rank."""
    add_lora(body, rank, alpha, targets)
    for part in body.modules():
        if isinstance(part, LoraLinear):
            part.__class__ = SVDLinear
            part.begin()


def adapted_layers(model: nn.Module) -> list[SVDLinear]:
    return [part for part in model.modules() if isinstance(part, SVDLinear)]


def distance_from_orthogonal(model: nn.Module) -> Tensor:
    """‖PᵀP - I‖² + ‖QQᵀ - I‖² over all matrices (4)."""
    grams = [gram for layer in adapted_layers(model)
             for gram in (layer.lora_b.T @ layer.lora_b, layer.lora_a @ layer.lora_a.T)]  # fmt: skip
    return torch.stack([(gram - torch.eye(len(gram), device=gram.device)).square().sum() for gram in grams]).sum()


def budget(step: int, max_steps: int, first: int, last: int) -> int:
    """The number of triplets after `step` of max_steps steps: `first`, then less along a cubic, then `last` (12)."""
    past = (step - WARM_UP * max_steps) / ((SETTLED - WARM_UP) * max_steps)
    return last + round((first - last) * (1 - min(max(past, 0), 1)) ** 3)


@torch.no_grad()
def measure_importance(model: nn.Module, step: int, max_steps: int, scale: float) -> None:
    """Between the gradients of `step` and its update, until the budget has settled."""
    if step < SETTLED * max_steps:
        for layer in adapted_layers(model):
            layer.measure(scale)


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
        layer.__class__ = LoraLinear
    return model
