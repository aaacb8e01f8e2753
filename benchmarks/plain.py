"""The speed-up of each fast twin: the plain code of gpt/*.py and its twin in gpt/fast on the same input.

    python -m benchmarks.plain
    python -m benchmarks.plain --rounds 3 --tiny-steps 0      # without the two whole runs of `tiny`

Plain and fast take turns in one process; the table gives medians, and the range of the turns' ratios. The shapes are
those of `train.py tiny`; code with gradients is timed forward and backward together. The last row is `train.py tiny` as
a whole, each run in its own process, in float32 so that both compute the same. Only this row shows the effect of
keeping freed memory.
"""

import copy
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
import tyro
from torch import Tensor, nn

from benchmarks.roofline import median_and_range, table
from data.world.story import stories
from gpt.fast.batch import Batch, generate_with_cache
from gpt.fast.bpe import train_bpe_with_heap
from gpt.fast.layers import AddedMaskAttention, FastAttention, FusedGELU, FusedLayerNorm, KernelAttention, QuickDropout
from gpt.fast.linear import few_rows_linear, useful_threads
from gpt.fast.optimizers import BatchedMuon, BFloat16Muon, FusedAdamW, UncompiledSGD
from gpt.fast.speed_up import speed_up
from gpt.generate import generate
from gpt.model import GELU, GPT, CausalSelfAttention, Dropout, LayerNorm
from gpt.muon import Muon
from gpt.optim import SGD, AdamW
from gpt.running.command_line import parse_flags, run_main
from gpt.running.device import pick_machine
from gpt.running.run_folder import read_metrics
from gpt.running.train_config import PRESETS
from gpt.sampling import Sampling
from gpt.tokenizer import Tokenizer, encode_word, train_bpe

TINY = PRESETS["tiny"][1]
SHAPE, B = TINY.model, TINY.batch_size
CPU = torch.device("cpu")


@dataclass(frozen=True)
class PlainConfig:
    rounds: int = 7
    """turns of each"""
    tiny_steps: int = 700
    """length of the whole runs of `tiny`; 0 leaves them out"""


Pair = tuple[Callable[[], object], Callable[[], object]]


def layer_pair(plain: nn.Module, kind: type, width: int, dtype: torch.dtype = torch.float32) -> Pair:
    """Forward and backward of a layer and of its twin on one batch of `tiny`, (B, T, width)."""
    fast = copy.deepcopy(plain)
    fast.__class__ = kind
    if isinstance(fast, FastAttention):
        fast.prepare(SHAPE, CPU)
    x = torch.randn(B, SHAPE.context_length, width, requires_grad=True)

    def run(layer: nn.Module) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            y = layer(x)
        y.float().sum().backward()

    return lambda: run(plain), lambda: run(fast)


def optimizer_pair(plain: type, fast: type, **settings) -> Pair:
    """A step on all matrices in the blocks of `tiny`."""
    pair = []
    for kind in (plain, fast):
        weights = [weight for weight in GPT(SHAPE).transformer.h.parameters() if weight.ndim == 2]  # type: ignore
        for weight in weights:
            weight.grad = torch.randn_like(weight)
        pair.append(kind([{"params": weights, "weight_decay": 0.1}], **settings).step)
    return pair[0], pair[1]


def step_pair(dtype: torch.dtype) -> Pair:
    """Forward and backward of the whole model on one batch of `tiny`."""
    plain = GPT(SHAPE)
    fast = copy.deepcopy(plain)
    speed_up(fast, CPU, dtype)
    tokens = torch.randint(0, SHAPE.vocab_size, (B, SHAPE.context_length + 1))

    def run(model: Callable[[Tensor], Tensor]) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            logits = model(tokens[:, :-1])
        F.cross_entropy(logits.flatten(0, 1).float(), tokens[:, 1:].flatten()).backward()

    return lambda: run(plain), lambda: run(fast)


def generate_pair(n: int) -> Pair:
    """n tokens after one token, with as many threads as sample.py uses for each."""
    model, threads = GPT(SHAPE).eval(), torch.get_num_threads()

    def with_cache() -> None:
        torch.set_num_threads(useful_threads(model))
        list(generate_with_cache(model, [1], n, temperature=0))
        torch.set_num_threads(threads)

    return lambda: list(generate(model, [1], n, temperature=0)), with_cache


def many_texts_pair(rows: int, n: int) -> Pair:
    """Many texts, one after the other with a cache each, or in one batch."""
    model = GPT(SHAPE).eval()

    def one_by_one() -> None:
        for seed in range(rows):
            list(generate_with_cache(model, [1], n, seed))

    def side_by_side() -> None:
        batch = Batch(model, [[1]] * rows, list(range(rows)), n, Sampling())
        for _ in range(n):
            batch.step()

    return one_by_one, side_by_side


def row_pair(inputs: int, outputs: int) -> Pair:
    """One token through a linear layer."""
    layer, x = nn.Linear(inputs, outputs), torch.randn(1, inputs)
    fast = few_rows_linear(layer)
    return torch.inference_mode()(lambda: layer(x)), torch.inference_mode()(lambda: fast(x))


def bpe_pairs() -> tuple[Pair, Pair]:
    """Training on 100 kB of stories, and encoding them."""
    told = stories(1, "en")
    text = "\n".join(next(told).text for _ in range(200))[:100_000]
    tokenizer = Tokenizer.train([text], 512, train_bpe_with_heap)

    def encode_by_hand() -> None:
        for word in tokenizer.encoding.decode_tokens_bytes(tokenizer.encode(text)):
            encode_word(word, tokenizer.ids)

    training = (lambda: train_bpe([text], 512)), (lambda: train_bpe_with_heap([text], 512))
    return training, (encode_by_hand, lambda: tokenizer.encode(text))


def measure_pair(pair: Pair, rounds: int) -> tuple[list[float], list[float]]:
    """Milliseconds of both in each turn; the first does not count. Quick ones are repeated within a turn."""
    repeats = []
    for run in pair:
        run()
        start = time.perf_counter()
        run()
        repeats.append(max(1, round(0.1 / (time.perf_counter() - start))))
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for run, repeat, taken in zip(pair, repeats, times, strict=True):
            start = time.perf_counter()
            for _ in range(repeat):
                run()
            taken.append(1e3 * (time.perf_counter() - start) / repeat)
    return times


def run_tiny(steps: int, *flags: str) -> tuple[float, float]:
    """Run `train.py tiny` as a process -> (total milliseconds, final validation loss)."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "train.py", "tiny", "--out", f"{folder}/run", "--max-steps", str(steps)]
        start = time.perf_counter()
        subprocess.run([*command, "--precision", "float32", *flags], check=True, capture_output=True)
        milliseconds = 1e3 * (time.perf_counter() - start)
        return milliseconds, read_metrics(Path(folder) / "run")[-1]["val_loss"]


def main() -> None:
    config = parse_flags(lambda: tyro.cli(PlainConfig, description=__doc__))
    torch.manual_seed(0)
    print(f"torch {torch.__version__}, {pick_machine('cpu')}\n")
    C, bfloat16 = SHAPE.n_embd, torch.bfloat16
    bpe, encode = bpe_pairs()
    pairs = {
        "LayerNorm": layer_pair(LayerNorm(C), FusedLayerNorm, C),
        "GELU, tanh": layer_pair(GELU(exact=False), FusedGELU, 4 * C),
        "GELU, exact": layer_pair(GELU(exact=True), FusedGELU, 4 * C),
        "Dropout 0.1": layer_pair(Dropout(0.1).train(), QuickDropout, C),
        "attention: kernel": layer_pair(CausalSelfAttention(SHAPE), KernelAttention, C),
        "attention: added mask, bfloat16": layer_pair(CausalSelfAttention(SHAPE), AddedMaskAttention, C, bfloat16),
        "the whole net, float32": step_pair(torch.float32),
        "the whole net, bfloat16": step_pair(bfloat16),
        "SGD": optimizer_pair(SGD, UncompiledSGD, lr=0.1),
        "AdamW": optimizer_pair(AdamW, FusedAdamW, lr=0.1, betas=(0.9, 0.95)),
        "Muon": optimizer_pair(Muon, BatchedMuon, lr=0.02),
        "Muon in bfloat16": optimizer_pair(Muon, BFloat16Muon, lr=0.02),
        "one row of a linear layer, 128 × 512 (tiny)": row_pair(128, 512),
        "one row of a linear layer, 768 × 3,072 (GPT-2)": row_pair(768, 3072),
        "generate: 150 tokens": generate_pair(150),
        "generate: 50 texts, one by one and side by side": many_texts_pair(50, 50),
        "train_bpe: 100 kB, 512 tokens": bpe,
        "encode: 100 kB (tiktoken)": encode,
    }
    head = ["", "plain, ms", "fast, ms", "ratio"]
    rows = []
    for name, pair in pairs.items():
        plain, fast = measure_pair(pair, config.rounds)
        ratios = [one / other for one, other in zip(plain, fast, strict=True)]
        medians = (f"{statistics.median(times):,.3f}" for times in (plain, fast))
        rows.append([name, *medians, median_and_range(ratios, 2)])
        print(" ".join(rows[-1]), flush=True)
    if config.tiny_steps:
        run_tiny(1)  # makes the corpus, if it does not exist yet
        (plain, plain_loss), (fast, fast_loss) = run_tiny(config.tiny_steps, "--plain"), run_tiny(config.tiny_steps)
        name = f"train.py tiny, {config.tiny_steps} steps ({plain_loss:.4f} and {fast_loss:.4f} nats/token)"
        rows.append([name, f"{plain:,.0f}", f"{fast:,.0f}", f"{plain / fast:.2f}"])
    print("\n" + table(head, rows))


if __name__ == "__main__":
    run_main(main)
