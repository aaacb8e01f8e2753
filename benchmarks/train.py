"""How many tokens a second a training step takes in: this project beside Hugging Face's GPT-2 with AdamW.

    python -m benchmarks.train
    python -m benchmarks.train --models small --rounds 9

The contenders take turns, so that whatever else the machine does disturbs all of them; the table gives medians. A
step is all of it: forward, backward, clipping, and the optimizer (ours: Muon and AdamW, rotary positions, precision
and kernels as train.py picks them). The roofline is the speed at which the step would run if it did nothing but
its multiplications, at the rate this machine was just measured to reach at such a shape in our precision.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
import tyro
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from benchmarks.roofline import matrix_rate, table
from gpt.device import Machine, pick_machine
from gpt.errors import parse, run_main
from gpt.model import GPT, GPTConfig
from gpt.optim import build_optimizers

MODELS = {
    "small": ("4 layers, 128 wide, 0.8M, 12 × 64", GPTConfig(256, 64, 4, 4, 128, position="rotary"), 12, 20),
    "medium": ("6 layers, 384 wide, 10.7M, 16 × 256", GPTConfig(256, 256, 6, 6, 384, position="rotary"), 16, 1),
    "gpt2": ("GPT-2, 124M, 16 × 1,024, on a GPU", GPTConfig(), 16, 5),
}


@dataclass(frozen=True)
class TrainSpeedConfig:
    models: tuple[str, ...] = ("small", "medium", "gpt2")
    """which of small, medium, gpt2 (this one only where there is a GPU)"""
    rounds: int = 7
    """turns of each contender; the median counts"""
    device: str = "auto"
    """where to compute, as in train.py"""


def our_step(config: GPTConfig, machine: Machine, x: Tensor, y: Tensor) -> Callable[[], None]:
    model = GPT(config).to(machine.device)
    model.use_fused_attention(machine.prefers_fused_attention(config.context_length))
    forward = torch.compile(model) if machine.compile else model
    optimizers = build_optimizers(model, "muon", 6e-3, 0.03, 0.1, machine.dtype)

    def step() -> None:
        with machine.autocast():
            logits = forward(x)  # (B, T, V)
        loss = F.cross_entropy(logits.flatten(0, 1).float(), y.flatten())
        loss.backward()
        loss.item()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()

    return step


def their_step(config: GPTConfig, machine: Machine, x: Tensor, y: Tensor) -> Callable[[], None]:
    settings = GPT2Config(
        vocab_size=config.vocab_size, n_positions=config.context_length,
        n_embd=config.n_embd, n_layer=config.n_layer, n_head=config.n_head,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    model = GPT2LMHeadModel(settings).to(machine.device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1)

    def step() -> None:
        with machine.autocast():
            logits = model(x).logits  # (B, T, V)
        loss = F.cross_entropy(logits.flatten(0, 1).float(), y.flatten())
        loss.backward()
        loss.item()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


def measure(contenders: dict[str, Callable[[], None]], rounds: int, steps: int) -> dict[str, float]:
    """Median seconds of a step, the contenders taking turns of `steps` steps after one that does not count."""
    seconds = {name: [] for name in contenders}
    for turn in range(rounds + 1):
        for name, step in contenders.items():
            start = time.perf_counter()
            for _ in range(steps):
                step()
            if turn:
                seconds[name].append((time.perf_counter() - start) / steps)
    return {name: statistics.median(times) for name, times in seconds.items()}


def main() -> None:
    config = parse(lambda: tyro.cli(TrainSpeedConfig, description=__doc__))
    machine = pick_machine(config.device)
    print(f"torch {torch.__version__}, {machine}\n")
    rows = []
    for name in config.models:
        title, shape, batch_size, steps = MODELS[name]
        if name == "gpt2" and machine.device.type != "cuda":
            rows.append([title, *["not measured: no GPU here", *[""] * 5]])
            continue
        torch.manual_seed(0)
        tokens = torch.randint(shape.vocab_size, (batch_size, shape.context_length + 1), device=machine.device)
        x, y = tokens[:, :-1], tokens[:, 1:]
        low = Machine(machine.device, torch.bfloat16, compile=False)
        contenders = {
            "ours": our_step(shape, machine, x, y),
            "float32": their_step(shape, Machine(machine.device, torch.float32, compile=False), x, y),
            "bfloat16": their_step(shape, low, x, y),
        }
        seconds = measure(contenders, config.rounds, steps)
        speed = {key: x.numel() / value for key, value in seconds.items()}
        rate = matrix_rate(x.numel(), shape.n_embd, machine.dtype, machine.device)
        roofline = rate / GPT(shape).flops_per_token()
        rows.append([
            title, *(f"{value:,.0f}" for value in speed.values()),
            f"{speed['ours'] / speed['float32']:.2f}", f"{speed['ours'] / speed['bfloat16']:.2f}",
            f"{roofline:,.0f}", f"{speed['ours'] / roofline:.0%}",
        ])  # fmt: skip
    head = ["model", "tokens/s: this project", "HF float32", "HF bfloat16", "ratio to float32", "to bfloat16"]
    print(table([*head, "roofline", "of it"], [row + [""] * (8 - len(row)) for row in rows]))


if __name__ == "__main__":
    run_main(main)
