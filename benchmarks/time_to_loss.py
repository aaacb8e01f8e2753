"""Time from starting Python to a given validation loss on tinyshakespeare's bytes: this project and a plain recipe.

    python -m data.prepare tinyshakespeare.txt --out data/shakespeare-bytes --vocab-size 257
    python -m benchmarks.time_to_loss --data data/shakespeare-bytes

--data is a tokens folder made as above: its last tenth is the validation split. Ours is `train.py tiny` in its own
process, with the settings in OURS: imports, training, the whole validation split, saving and plotting all count. The
peer (Hugging Face's GPT-2 with AdamW, nanoGPT's recipe for CPUs: 4 layers, 128 wide, 12 × 64, 2,000 steps) is also a
process. The last line is our median over the seeds.
"""

import math
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
import tyro

from benchmarks.roofline import matrix_rate, table
from gpt.errors import UserError
from gpt.files.huggingface import config_to_hf
from gpt.files.tokens_folder import TokensFolder
from gpt.inside.anatomy import training_flops_per_token
from gpt.model import GPTConfig
from gpt.running.command_line import parse_flags, run_main
from gpt.running.device import best_dtype
from gpt.running.run_folder import read_metrics

SHAPE = GPTConfig(257, 32, n_layer=2, n_head=4, n_embd=176, position="rotary")
STEPS, BATCH_SIZE = 132, 64
OURS = (
    f"--model.n-layer {SHAPE.n_layer} --model.n-head {SHAPE.n_head} --model.n-embd {SHAPE.n_embd} "
    f"--model.context-length {SHAPE.context_length} "
    f"--batch-size {BATCH_SIZE} --max-steps {STEPS} --warmup-steps 4 --eval-every 100000 "
    "--muon-learning-rate 0.06 --learning-rate 0.03"
).split()


@dataclass(frozen=True)
class TimeToLossConfig:
    data: Path
    """a tokens folder of bytes: python -m data.prepare tinyshakespeare.txt --out FOLDER --vocab-size 257"""
    target: float = 1.898
    """nats per byte on the whole validation split; nanoGPT's recipe reaches this"""
    seeds: int = 5
    """number of our runs; the table gives the median"""
    peer: bool = True
    """also run the peer, once"""
    as_peer: bool = False
    """run as the peer: used by this script itself"""


def run_ours(data: Path, seed: int) -> tuple[float, float]:
    """One run of train.py: seconds of the whole process, and its validation loss in nats per byte."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        command = [sys.executable, "train.py", "tiny", "--data", str(data), "--out", str(out), "--seed", str(seed)]
        start = time.perf_counter()
        subprocess.run([*command, *OURS], check=True, capture_output=True)
        seconds = time.perf_counter() - start
        return seconds, min(row["val_loss"] for row in read_metrics(out) if "val_loss" in row)


def run_peer(data: Path) -> tuple[float, float]:
    start = time.perf_counter()
    command = [sys.executable, "-m", "benchmarks.time_to_loss", "--data", str(data), "--as-peer"]
    said = subprocess.run(command, check=True, capture_output=True, encoding="utf-8").stdout
    return time.perf_counter() - start, float(said.split()[-1])


def peer(data: Path) -> float:
    """nanoGPT's settings for CPUs, with Hugging Face's model: returns the validation loss in nats per byte."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(1337)
    dataset = TokensFolder(data).dataset(64, 12)
    shape = GPTConfig(257, 64, n_layer=4, n_head=4, n_embd=128)
    model = GPT2LMHeadModel(GPT2Config(**config_to_hf(shape, end_of_text=256)))
    groups = [
        {"params": [p for p in model.parameters() if p.ndim >= 2], "weight_decay": 0.1},
        {"params": [p for p in model.parameters() if p.ndim < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.99))
    for step in range(2000):
        decay = 0.5 * (1 + math.cos(math.pi * max(0, step - 100) / 1900))  # half a cosine from 1e-3 to 1e-4
        optimizer.param_groups[0]["lr"] = optimizer.param_groups[1]["lr"] = (
            1e-3 * (step + 1) / 101 if step < 100 else 1e-4 + decay * 9e-4
        )
        x, y = dataset.batch(step)
        F.cross_entropy(model(x).logits.flatten(0, 1), y.flatten()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    total = tokens = 0
    with torch.no_grad():
        for x, y in dataset.evaluation_batches():
            total += F.cross_entropy(model(x).logits.flatten(0, 1), y.flatten(), reduction="sum").item()
            tokens += (y >= 0).sum().item()
    return total / tokens


def main() -> None:
    config = parse_flags(lambda: tyro.cli(TimeToLossConfig, description=__doc__))
    if config.seeds < 1:
        raise UserError(f"--seeds is {config.seeds}: it must be at least 1")
    if TokensFolder(config.data).vocab_size != 257:
        raise UserError(f"{config.data} has no vocabulary of bytes: prepare it with --vocab-size 257")
    if config.as_peer:
        print(peer(config.data))
        return
    runs = [run_ours(config.data, seed) for seed in range(config.seeds)]
    for seed, (seconds, loss) in enumerate(runs):
        print(f"seed {seed}: {seconds:.1f} s, {loss:.4f} nats/byte", flush=True)
    median, loss = statistics.median(run[0] for run in runs), statistics.median(run[1] for run in runs)
    reached = sum(run[1] <= config.target for run in runs)
    print(f"{reached} of {config.seeds} runs reached {config.target}")
    rate = matrix_rate(2048, 128, best_dtype(torch.device("cpu")), torch.device("cpu"))
    bound = training_flops_per_token(SHAPE) * STEPS * BATCH_SIZE * SHAPE.context_length / rate
    rows = [["this project", f"{median:.1f} s", f"{loss:.3f}", "1.00", f"{bound:.1f} s"]]
    if config.peer:
        theirs, their_loss = run_peer(config.data)
        rows.append(["Hugging Face GPT-2, AdamW", f"{theirs:.1f} s", f"{their_loss:.3f}", f"{theirs / median:.2f}", ""])
    print("\n" + table(["", "whole process", "nats/byte", "times ours", "roofline of the training"], rows) + "\n")
    print(f"median {median:.1f} s" if reached > config.seeds / 2 else f"not reached: median {loss:.3f} nats/byte")


if __name__ == "__main__":
    run_main(main)
