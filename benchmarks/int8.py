"""The effect of int8 weights on memory, and on perplexity on a whole validation split.

python -m benchmarks.int8 --model out/tiny --data data/stories-2048
"""

import copy
import math
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro

from benchmarks.roofline import table
from gpt.fast.int8 import quantize_int8
from gpt.fast.speed_up import speed_up
from gpt.files.checkpoint import load_model
from gpt.files.tokens_folder import TokensFolder
from gpt.model import GPT
from gpt.running.command_line import parse_flags, run_main
from gpt.running.device import pick_machine
from gpt.running.processes import Processes
from gpt.running.validation import validation_loss

BATCH_SIZE = 32  # windows per batch


@dataclass(frozen=True)
class Int8Config:
    model: Path
    """a model folder"""
    data: Path
    """the tokens folder whose validation split is read"""


def megabytes(model: GPT) -> float:
    """The size of all tensors of a model; shared ones count once."""
    tensors = {t.data_ptr(): t for t in (*model.parameters(), *model.buffers())}
    return sum(t.numel() * t.element_size() for t in tensors.values()) / 1e6


def main() -> None:
    config = parse_flags(lambda: tyro.cli(Int8Config, description=__doc__))
    model = load_model(config.model)
    dataset = TokensFolder(config.data).dataset(model.config.context_length, BATCH_SIZE)
    speed_up(model, torch.device("cpu"), torch.float32)
    quantized = copy.deepcopy(model)
    quantize_int8(quantized)
    machine = pick_machine("cpu", "float32", "off")
    alone = Processes(rank=0, size=1, device=machine.device)
    before, after = (
        math.exp(validation_loss(each, dataset, machine, alone, accumulate=1)) for each in (model, quantized)
    )
    sizes = (f"{megabytes(each):.2f} MB" for each in (model, quantized))
    row = [str(config.model), *sizes, f"{before:.4f}", f"{after:.4f}", f"{after / before - 1:+.3%}"]
    print(table(["model", "float32", "int8", "perplexity, float32", "int8", "change"], [row]))


if __name__ == "__main__":
    run_main(main)
