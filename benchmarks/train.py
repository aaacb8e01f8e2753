"""Tokens per second in training: this project and Hugging Face's GPT-2 with AdamW.

    python -m benchmarks.train
    python -m benchmarks.train --models small --rounds 9

The contenders take turns, each in its own process; the table gives medians, with the slowest and the quickest turn. A
step is a forward pass, a backward pass, clipping, and the optimizer (ours: Muon and AdamW, then AdamW alone; rotary
positions for all but GPT-2, precision and kernels as train.py chooses them). The roofline is the speed of a step that
does only its matrix products, at the rate just measured on this machine for this shape and our precision. "of it" is
our share of the roofline; on a GPU it is called MFU.
"""

import dataclasses
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import tyro
from torch import Tensor
from torch.optim import Optimizer

from benchmarks.contenders import start, take_turns, update
from benchmarks.roofline import matrix_rate, median_and_range, table
from gpt.fast.speed_up import speed_up
from gpt.files.huggingface import config_to_hf
from gpt.inside.anatomy import training_flops_per_token
from gpt.model import GPT, GPTConfig
from gpt.optim import build_optimizers
from gpt.running.command_line import parse_flags, run_main
from gpt.running.device import Machine, pick_machine
from train import cross_entropy

MODELS = {
    "small": ("4 layers, 128 wide, 0.8M, 12 × 64", GPTConfig(256, 64, 4, 4, 128, position="rotary"), 12, 20),
    "medium": ("6 layers, 384 wide, 10.7M, 32 × 256", GPTConfig(256, 256, 6, 6, 384, position="rotary"), 32, 1),
    "gpt2": ("GPT-2, 124M, 4 × 256", GPTConfig(context_length=256), 4, 1),
}


@dataclass(frozen=True)
class TrainSpeedConfig:
    models: tuple[Literal["small", "medium", "gpt2"], ...] = ("small", "medium", "gpt2")
    """models to measure; on a GPU, benchmarks.gpu measures GPT-2 with all of its context"""
    rounds: int = 7
    """turns of each contender; the table gives medians"""
    device: str = "auto"
    """where to compute, as in train.py"""


def batch(shape: GPTConfig, batch_size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Random windows, and the next token at each position: 2 × (batch_size, T)."""
    torch.manual_seed(0)
    tokens = torch.randint(shape.vocab_size, (batch_size, shape.context_length + 1), device=device)
    return tokens[:, :-1], tokens[:, 1:]


def take_step(
    machine: Machine,
    forward: Callable[[Tensor], Tensor],
    token_loss: Callable[[Tensor, Tensor], Tensor],
    x: Tensor,
    y: Tensor,
    optimizers: list[Optimizer],
) -> None:
    """One step of both contenders, as in the loop of train.py."""
    with machine.autocast():
        logits = forward(x)  # (B, T, V)
    loss = token_loss(logits, y)
    loss.backward()
    loss.item()
    update(optimizers)


def our_step(shape: GPTConfig, batch_size: int, device: str, optimizer: str = "muon") -> Callable[[], None]:
    machine = pick_machine(device)
    x, y = batch(shape, batch_size, machine.device)
    model = GPT(shape).to(machine.device)
    twins = speed_up(model, machine.device, machine.dtype)
    forward = torch.compile(model) if machine.compile else model
    token_loss = torch.compile(cross_entropy) if machine.compile else cross_entropy
    optimizers = build_optimizers(model, optimizer, 6e-3, 0.03, 0.1, twins)

    return lambda: take_step(machine, forward, token_loss, x, y, optimizers)


def their_step(shape: GPTConfig, batch_size: int, device: str, dtype: torch.dtype) -> Callable[[], None]:
    from transformers import GPT2Config, GPT2LMHeadModel  # here, so that our process does not load it

    machine = Machine(torch.device(device), dtype, compile=False)
    x, y = batch(shape, batch_size, machine.device)
    settings = GPT2Config(**config_to_hf(dataclasses.replace(shape, position="learned"), end_of_text=0))
    model = GPT2LMHeadModel(settings).to(machine.device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1)

    return lambda: take_step(machine, lambda x: model(x).logits, cross_entropy, x, y, [optimizer])


def main() -> None:
    config = parse_flags(lambda: tyro.cli(TrainSpeedConfig, description=__doc__))
    machine = pick_machine(config.device)
    print(f"torch {torch.__version__}, {machine}\n")
    rows = []
    for name in config.models:
        title, shape, batch_size, steps = MODELS[name]
        tokens = batch_size * shape.context_length
        rate = matrix_rate(tokens, shape.n_embd, machine.dtype, machine.device)  # while nothing else runs
        contenders = {
            "ours": start(our_step, shape, batch_size, config.device),
            "adamw": start(our_step, shape, batch_size, config.device, "adamw"),  # as theirs
            "float32": start(their_step, shape, batch_size, machine.device.type, torch.float32),
        }
        if machine.dtype != torch.float32:  # without bfloat16 in hardware, a step would take minutes
            contenders["bfloat16"] = start(their_step, shape, batch_size, machine.device.type, torch.bfloat16)
        turns = take_turns(contenders, config.rounds, steps)
        speeds = {key: [tokens / each for each in seconds] for key, seconds in turns.items()}
        roofline = rate / training_flops_per_token(shape)
        for key, label in (("ours", title), ("adamw", f"{title}, with AdamW")):
            share = f"{statistics.median(speeds[key]) / roofline:.0%}"
            rows.append([label, *cells(speeds, key), f"{roofline:,.0f}", share])
    head = ["model", "tokens/s: this project", "HF float32", "HF bfloat16", "ratio to float32", "to bfloat16"]
    print(table([*head, "roofline", "of it"], rows))


def cells(speeds: dict[str, list[float]], ours: str) -> list[str]:
    """Medians with their range of one of ours and of theirs, then the ratio to each of theirs; – if it did not run."""
    shown = {key: median_and_range(each) for key, each in speeds.items()}
    ratios = {key: f"{statistics.median(speeds[ours]) / statistics.median(each):.2f}" for key, each in speeds.items()}
    others = ("float32", "bfloat16")
    return [shown[ours], *(shown.get(key, "–") for key in others), *(ratios.get(key, "–") for key in others)]


if __name__ == "__main__":
    run_main(main)
