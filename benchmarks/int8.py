"""What int8 weights cost and save: memory, and perplexity on a whole validation split.

python -m benchmarks.int8 --model out/tiny --data data/tiny
"""

import copy
import math
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
import tyro

from gpt.checkpoint import load_model
from gpt.dataset import IGNORED, Dataset
from gpt.errors import parse, run_main
from gpt.model import GPT
from gpt.quantize import quantize_int8


@dataclass(frozen=True)
class Int8Config:
    model: Path
    """a model folder"""
    data: Path
    """the tokens folder whose validation split is read"""


def megabytes(model: GPT) -> float:
    """All tensors of a model, shared ones counted once."""
    tensors = {t.data_ptr(): t for t in (*model.parameters(), *model.buffers())}
    return sum(t.numel() * t.element_size() for t in tensors.values()) / 1e6


@torch.no_grad()
def perplexity(model: GPT, dataset: Dataset) -> float:
    total = tokens = 0
    for x, y in dataset.evaluation_batches():
        total += F.cross_entropy(model(x).flatten(0, 1), y.flatten(), reduction="sum").item()
        tokens += (y != IGNORED).sum().item()
    return math.exp(total / tokens)


def main() -> None:
    config = parse(lambda: tyro.cli(Int8Config, description=__doc__))
    model = load_model(config.model)
    dataset = Dataset(config.data, model.config.context_length, 32, seed=0)
    quantized = copy.deepcopy(model)
    quantize_int8(quantized)
    before, after = perplexity(model, dataset), perplexity(quantized, dataset)
    print(
        "| model | float32 | int8 | perplexity, float32 | int8 | change |\n| --- | ---: | ---: | ---: | ---: | ---: |"
    )
    print(
        f"| {config.model} | {megabytes(model):.2f} MB | {megabytes(quantized):.2f} MB "
        f"| {before:.4f} | {after:.4f} | {after / before - 1:+.3%} |"
    )


if __name__ == "__main__":
    run_main(main)
