"""How weights move: gradient descent and AdamW as formulas, the learning rate of each step, and clipping.

Muon, for the blocks' matrices, has a file of its own. gpt/fast/optimizers.py holds the same methods, faster.
"""

import math
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Literal, NoReturn

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gpt.errors import UserError
from gpt.muon import Muon


class SGD(Optimizer):
    """Gradient descent: θ ← θ - α (∇L + λθ). The gradient of a batch stands for that of all data (Robbins and Monro
    1951); λ pulls the weights towards 0."""

    def __init__(self, groups: list[dict], lr: float):
        super().__init__(groups, {"lr": lr, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]  # PyTorch's also takes a closure
        for group in self.param_groups:
            for weight in group["params"]:
                weight -= group["lr"] * (weight.grad + group["weight_decay"] * weight)


class AdamW(Optimizer):
    """Each weight moves by its mean gradient over the gradient's usual size ("Adam", Kingma and Ba 2015), and decays by
    itself, not through the gradient (Loshchilov and Hutter 2019)."""

    def __init__(self, groups: list[dict], lr: float, betas: tuple[float, float]):
        super().__init__(groups, {"lr": lr, "betas": betas, "eps": 1e-8, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for weight in group["params"]:
                state = self.state[weight] = self.state[weight] or {"step": 0, "mean": 0.0, "square": 0.0}
                state["step"] += 1
                state["mean"] = beta1 * state["mean"] + (1 - beta1) * weight.grad
                state["square"] = beta2 * state["square"] + (1 - beta2) * weight.grad**2
                mean = state["mean"] / (1 - beta1 ** state["step"])  # both began at 0: without this they are too small
                square = state["square"] / (1 - beta2 ** state["step"])
                weight -= group["lr"] * (mean / (square.sqrt() + group["eps"]) + group["weight_decay"] * weight)


def build_optimizers(
    model: nn.Module,
    name: Literal["muon", "adamw", "sgd"],
    learning_rate: float,
    muon_learning_rate: float,
    weight_decay: float,
    twins: Mapping[type, type] = MappingProxyType({}),
) -> list[Optimizer]:
    """The optimizers that together update all of a model's weights.

    name: "adamw" or "sgd" for everything, or "muon": then Muon moves the matrices inside the blocks, and AdamW the
    embeddings, biases and norms; small models then need about a third of AdamW's steps. twins: for a class here,
    the faster one to use. Only matrices decay: pulling a bias or a norm's gain to zero regularises nothing.
    """
    weights = {key: weight for key, weight in model.named_parameters() if weight.requires_grad}
    for_muon = [key for key in weights if name == "muon" and ".h." in key and weights[key].ndim == 2]  # of the blocks
    rest = [weight for key, weight in weights.items() if key not in for_muon]
    groups = [
        {"params": [weight for weight in rest if weight.ndim >= 2], "weight_decay": weight_decay},
        {"params": [weight for weight in rest if weight.ndim < 2], "weight_decay": 0.0},
    ]
    if name == "sgd":
        optimizers: list[Optimizer] = [twins.get(SGD, SGD)(groups, learning_rate)]
    else:
        optimizers = [twins.get(AdamW, AdamW)(groups, learning_rate, betas=(0.9, 0.95))]
    if for_muon:
        muon_groups = [{"params": [weights[key] for key in for_muon], "weight_decay": weight_decay}]
        optimizers.append(twins.get(Muon, Muon)(muon_groups, muon_learning_rate))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak_lr"] = group["lr"]  # what set_learning_rate scales
    return optimizers


def learning_rate_scale(step: int, max_steps: int, warmup_steps: int) -> float:
    """The share of the peak learning rate used by update `step`, counted from 0: up to 1 in a straight line over the
    warm-up, then down in a straight line, to reach 0 just after the last update (Bergsma et al. 2025)."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    return (max_steps - step) / (max_steps - warmup_steps)


def set_learning_rate(optimizers: list[Optimizer], scale: float) -> None:
    """Use `scale` times each group's peak learning rate in the next update."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = scale * group["peak_lr"]


def update(
    optimizers: list[Optimizer], scaler: torch.amp.GradScaler, weights: Iterable[Tensor], grad_clip: float, step: int
) -> None:
    """Clip the gradients to length `grad_clip`, take one step of every optimizer, and clear the gradients.

    scaler: enabled in float16, where gradients are computed at a scale at which the small ones do not vanish. Large
    ones may then overflow; such a step is left out and the scale halved (Micikevicius et al. 2018, section 3.2). In all
    other cases a gradient that is not finite raises UserError, and the weights stay as they were.
    """
    for optimizer in optimizers:
        scaler.unscale_(optimizer)
    length, scale = float(nn.utils.clip_grad_norm_(weights, grad_clip)), scaler.get_scale()
    if math.isfinite(length):
        for optimizer in optimizers:
            scaler.step(optimizer)
    scaler.update()
    halved = 1 <= scaler.get_scale() < scale  # never without float16: then both are 1
    if not math.isfinite(length) and not halved:
        raise_broken(f"the gradient's length became {length} at step {step}")
    for optimizer in optimizers:
        optimizer.zero_grad()


def check_loss(loss: float, step: int, name: str = "loss") -> None:
    """Raises UserError if it is no longer a number: then every later one, and the weights, would not be either."""
    if not math.isfinite(loss):
        raise_broken(f"the {name} became {loss} at step {step}")


def raise_broken(what: str) -> NoReturn:
    raise UserError(
        f"{what}: training stopped, and the last good checkpoint is kept; begin again with a lower learning rate "
        "or a longer warm-up, or try --precision float32"
    )
