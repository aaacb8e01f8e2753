"""Training a BPE tokenizer beside Hugging Face's `tokenizers`, which is written in Rust and uses all cores.

    python -m data.fetch shopping
    python -m benchmarks.bpe --data data/shopping/train.csv

Both see the same first megabytes, line by line; reading them does not count. In turns: medians, with the quickest and
the slowest.
"""

import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import tyro

from benchmarks.roofline import median_and_range, table
from gpt.fast.bpe import train_bpe_with_heap
from gpt.running.command_line import parse_flags, run_main


@dataclass(frozen=True)
class BpeBenchmark:
    data: Path
    """a UTF-8 file; each line is a text"""
    vocab_size: int = 8192
    """tokens, of which 257 are bytes and end-of-text"""
    megabytes: float = 2
    """how much of the texts is used"""
    rounds: int = 5
    """turns"""


def train_with_tokenizers(texts: list[str], vocab_size: int) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, show_progress=False, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(texts, trainer)


def main() -> None:
    config = parse_flags(lambda: tyro.cli(BpeBenchmark, description=__doc__))
    texts, size = [], 0
    for line in config.data.read_text(encoding="utf-8").splitlines(keepends=True):
        if size < config.megabytes * 1e6:
            texts.append(line)
            size += len(line.encode())
    trainers = {"this project": train_bpe_with_heap, "tokenizers (Rust)": train_with_tokenizers}
    seconds: dict[str, list[float]] = {name: [] for name in trainers}
    for _ in range(config.rounds):
        for name, train in trainers.items():
            start = time.perf_counter()
            train(texts, config.vocab_size)
            seconds[name].append(time.perf_counter() - start)
    ours, theirs = map(statistics.median, seconds.values())
    shown = [median_and_range(each, 1) for each in seconds.values()]
    row = [f"{size / 1e6:.1f} MB, {config.vocab_size:,} tokens", *shown, f"{ours / theirs:.2f}"]
    print(table(["", *(f"{name}, s" for name in trainers), "ratio"], [row]))


if __name__ == "__main__":
    run_main(main)
