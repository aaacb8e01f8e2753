"""How weights move: AdamW, or Muon for the blocks' matrices; how far, at each step; and when not at all."""

import math
from collections.abc import Iterable
from typing import NoReturn

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gpt.errors import UserError
from gpt.fast.pytorch import AdamW
from gpt.muon import Muon
from gpt.running.processes import whole


def build_optimizers(
    model: nn.Module,
    name: str,
    learning_rate: float,
    muon_learning_rate: float,
    weight_decay: float,
    dtype: torch.dtype = torch.float32,
) -> list[Optimizer]:
    """The optimizers that together update all of a model's weights.

    name: "adamw" (Loshchilov and Hutter 2019) for everything, or "muon": then Muon moves the matrices inside the
    blocks, and AdamW the embeddings, biases and norms; small models learn about as much from a third of the steps.
    dtype: what Muon may compute in, bfloat16 where that is fast. Only matrices decay: pulling a bias or a norm's
    gain to zero regularises nothing.
    """
    weights = [p for p in model.parameters() if p.requires_grad]
    in_blocks = {id(p) for block_name, p in model.named_parameters() if ".h." in block_name}
    for_muon = [p for p in weights if name == "muon" and p.ndim == 2 and id(p) in in_blocks]
    taken = {id(p) for p in for_muon}
    rest = [p for p in weights if id(p) not in taken]
    groups = [
        {"params": [p for p in rest if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in rest if p.ndim < 2], "weight_decay": 0.0},
    ]
    optimizers: list[Optimizer] = [AdamW(groups, lr=learning_rate, betas=(0.9, 0.95), fused=True)]
    if for_muon:
        muon_dtype = dtype if dtype == torch.bfloat16 else torch.float32  # float16 would overflow
        optimizers.append(Muon(for_muon, muon_learning_rate, weight_decay, muon_dtype))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak_lr"] = group["lr"]  # what set_learning_rate scales
    return optimizers


def learning_rate_scale(step: int, max_steps: int, warmup_steps: int) -> float:
    """The share of the peak learning rate used by update `step`, counted from 0: up to 1 in a straight line over
    the warm-up, then down in a straight line, to reach 0 just after the last update (Bergsma et al. 2025)."""
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
    """Move the weights along their gradients, shortened to `grad_clip` where they are longer, and forget those.

    scaler: enabled in float16, where gradients are computed at a scale at which the small ones do not vanish; the
    large ones may then overflow, and such a step is left out and the scale halved (Micikevicius et al. 2018,
    section 3.2). Raises UserError, with the weights as they were, where a gradient is not finite otherwise.
    """
    for optimizer in optimizers:
        scaler.unscale_(optimizer)
    length = torch.nn.utils.clip_grad_norm_(weights, grad_clip)
    length, scale = float(whole(length)), scaler.get_scale()
    if math.isfinite(length):
        for optimizer in optimizers:
            scaler.step(optimizer)
    scaler.update()
    if not math.isfinite(length) and not 1 <= scaler.get_scale() < scale:
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
