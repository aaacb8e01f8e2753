"""Pruning: the smallest weights become 0, or whole blocks go; and a little training repairs what is left.

Weights: "Learning both Weights and Connections for Efficient Neural Networks" (Han et al. 2015, section 3): train,
remove the weights of small magnitude, train again with those held at 0. A matrix with zeros is still stored and
multiplied as a whole, so nothing becomes smaller or faster here; special formats and kernels would be needed.

Blocks: a model without one of its blocks is a smaller model like any other. Heads cannot go in this way: GPT-2's and
GPT-NeoX's layouts know one n_head for all blocks, and a head has n_embd / n_head channels; fewer heads would only be
wider ones. (gpt/inside/ablation.py switches them off.)
"""

import dataclasses

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from gpt.dataset import Dataset
from gpt.errors import UserError
from gpt.fast.speed_up import Twins
from gpt.finetuning.methods import Net
from gpt.model import GPT
from gpt.optim import build_optimizers, check_loss, learning_rate_scale, set_learning_rate, update
from gpt.running.device import Machine
from gpt.running.run import seed_dropout

Masks = list[tuple[Tensor, Tensor]]  # matrices (out, in), and where each may be other than 0, (out, in) of bool
LEARNING_RATE, MUON_LEARNING_RATE = 2e-3, 1e-2  # a third of what train.py begins with: the weights are nearly right
WARMUP, WEIGHT_DECAY, GRAD_CLIP = 5, 0.1, 1.0


@torch.no_grad()
def prune_weights(net: Net, fraction: float) -> Masks:
    """Set the `fraction` of smallest weights of every matrix in the blocks to 0, in place. Embeddings, biases and norms
    stay. Returns what hold_zeros needs. Raises UserError if the fraction is not from 0 up and below 1."""
    if not 0 <= fraction < 1:
        raise UserError(f"the fraction is {fraction:g}: it must be at least 0 and less than 1, as in 0.5 for a half")
    masks = []
    for part in (part for block in net.transformer.h for part in block.modules()):
        if isinstance(part, nn.Linear):
            weight = part.weight  # (out, in)
            order = weight.abs().flatten().argsort(stable=True)  # the smallest first
            mask = torch.ones(weight.numel(), dtype=torch.bool, device=weight.device)
            mask[order[: round(fraction * weight.numel())]] = False
            masks.append((weight, mask.view_as(weight)))
    hold_zeros(masks)
    return masks


@torch.no_grad()
def hold_zeros(masks: Masks) -> None:
    """Set what is pruned to 0 again: to be called after every update."""
    for weight, mask in masks:
        weight.mul_(mask)


def share_of_zeros(net: Net) -> float:
    """The share of all weights that are 0; a tied matrix counts once."""
    weights = list(net.parameters())
    return sum(int((weight == 0).sum()) for weight in weights) / sum(weight.numel() for weight in weights)


def drop_blocks(net: Net, blocks: tuple[int, ...]) -> None:
    """Remove blocks, in place, each given by its number from 1, the lowest, up. Raises UserError if there is no such
    block or none would be left."""
    total = len(net.transformer.h)
    if wrong := [block for block in blocks if not 1 <= block <= total]:
        raise UserError(f"there is no block {wrong[0]}: the model has {total} blocks, from 1, the lowest, to {total}")
    kept = [block for number, block in enumerate(net.transformer.h, 1) if number not in blocks]
    if not kept:
        raise UserError(f"all {total} blocks would be removed: at least one must stay")
    net.transformer.h = nn.ModuleList(kept)  # type: ignore[assignment]
    net.config = net.transformer.config = dataclasses.replace(net.config, n_layer=len(kept))


def train_pruned(
    model: GPT, dataset: Dataset, masks: Masks, steps: int, machine: Machine, twins: Twins, seed: int = 0
) -> None:
    """Train a pruned model for a few steps, with its zeros held; train.py explains the loop. twins: see speed_up.
    Raises UserError if the loss is no longer a number."""
    model.train()
    optimizers = build_optimizers(model, "muon", LEARNING_RATE, MUON_LEARNING_RATE, WEIGHT_DECAY, twins)
    scaler = torch.amp.GradScaler(machine.device.type, enabled=machine.dtype == torch.float16)
    for step in tqdm(range(steps), desc="training", unit="step"):
        set_learning_rate(optimizers, learning_rate_scale(step, steps, min(WARMUP, steps // 2)))
        seed_dropout(seed, step)
        inputs, targets = (part.to(machine.device) for part in dataset.batch(step))  # 2 × (B, T)
        with machine.autocast():
            logits = model(inputs)  # (B, T, V)
        loss = F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())
        scaler.scale(loss).backward()
        check_loss(loss.item(), step)
        update(optimizers, scaler, model.parameters(), GRAD_CLIP, step)
        hold_zeros(masks)
    model.eval()
