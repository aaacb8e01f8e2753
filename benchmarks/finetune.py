"""How many labelled texts a second: this project and `transformers`, fine-tuning the same net on the same texts.

    python -m benchmarks.finetune --data data/reviews
    python -m benchmarks.finetune --data my_reviews.csv --rounds 9

Theirs is GPT2ForSequenceClassification as its guides train it: float32, texts in random order, each batch padded on
the right to its longest. Ours is what finetune.py does: texts of like length share a batch, and the precision is
what this machine is fast at. The nets have the same shape, weights, batch size, AdamW and clipping; without dropout
they give the same answers, which is checked. The contenders take turns, so that whatever else the machine does
disturbs both; the table gives medians. The last row reads texts without training.
"""

import os
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from torch import Tensor
from transformers import GPT2Config, GPT2ForSequenceClassification

from gpt.buckets import Buckets
from gpt.classifier import GPTClassifier, classify, pad
from gpt.device import pick_machine
from gpt.errors import parse, run_main
from gpt.finetune_config import FinetuneConfig
from gpt.huggingface import config_to_hf, weights_to_hf
from gpt.labelled import label_names, read_splits
from gpt.model import GPTConfig
from gpt.objective import loss_on_labels
from gpt.task import load_task
from gpt.tokenizer import Tokenizer
from gpt.trainable import build_optimizer


@dataclass(frozen=True)
class BenchmarkConfig:
    data: Path = Path("data/reviews")
    """labelled texts, as finetune.py takes them"""
    vocab_size: int = 2048
    """of the tokenizer, which is trained on the texts"""
    rounds: int = 7
    """turns of each contender; the median counts"""
    batches: int = 40
    """batches of 32 in each turn"""
    threads: int | None = None
    """CPU threads; by default one for each core"""


class Theirs:
    """The usual recipe with `transformers`."""

    def __init__(self, model: GPTClassifier, texts: list[list[int]], targets: Tensor, config: FinetuneConfig):
        hf = config_to_hf(model.config, end_of_text=0) | {"num_labels": len(model.labels), "pad_token_id": PADDING}
        self.model = GPT2ForSequenceClassification(GPT2Config(**hf))
        self.model.load_state_dict(weights_to_hf(model.state_dict(), model.config), strict=False)
        self.texts, self.targets, self.batch_size = texts, targets, config.batch_size
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=config.learning_rate)
        self.order = np.random.default_rng(0).permutation(len(texts))

    def logits(self, texts: list[list[int]]) -> Tensor:
        longest = max(map(len, texts))
        tokens = torch.tensor([text + [PADDING] * (longest - len(text)) for text in texts])  # (B, T)
        mask = torch.tensor([[1] * len(text) + [0] * (longest - len(text)) for text in texts])  # (B, T)
        return self.model(tokens, attention_mask=mask).logits  # (B, labels)

    def train(self, step: int) -> None:
        batch = np.take(self.order, range(step * self.batch_size, (step + 1) * self.batch_size), mode="wrap")
        logits = self.logits([self.texts[i] for i in batch])
        torch.nn.functional.cross_entropy(logits, self.targets[batch]).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()

    def read(self, step: int) -> None:
        batch = np.take(self.order, range(step * self.batch_size, (step + 1) * self.batch_size), mode="wrap")
        with torch.inference_mode():
            self.logits([self.texts[i] for i in batch])


class Ours:
    """The steps of finetune.py's loop."""

    def __init__(self, model: GPTClassifier, texts: list[list[int]], targets: Tensor, config: FinetuneConfig):
        self.model, self.texts, self.targets = model, texts, targets
        self.machine = pick_machine("cpu", config.precision)
        model.transformer.use_fused_attention(self.machine.prefers_fused_attention(model.config.context_length))
        self.optimizer = build_optimizer(model, config)
        self.buckets = Buckets([len(text) for text in texts], config.batch_size, config.seed)

    def train(self, step: int) -> None:
        batch = self.buckets.batch(step)
        tokens, lengths = pad([self.texts[i] for i in batch])
        with self.machine.autocast():
            loss = loss_on_labels(self.model(tokens, lengths), self.targets[batch], None, 0.0).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()

    def read(self, step: int) -> None:
        classify(self.model, [self.texts[i] for i in self.buckets.batch(step)], self.machine)


PADDING = 0  # a byte that no text holds


def main() -> None:
    config = parse(lambda: tyro.cli(BenchmarkConfig, description=__doc__))
    if config.threads:
        torch.set_num_threads(config.threads)
    examples = read_splits(config.data, 0)
    tokenizer = Tokenizer.train([example.text for example in examples["train"]], config.vocab_size)
    shape = GPTConfig(tokenizer.vocab_size, 256, 4, 4, 128, dropout=0.1)
    task = load_task(config.data, False, None, 0, tokenizer, shape.context_length)
    texts, targets = task.tokens["train"], task.targets["train"]
    torch.manual_seed(0)
    model = GPTClassifier(shape, label_names(examples))
    settings = FinetuneConfig(model=Path(), data=config.data, out=Path())
    contenders = {"ours": Ours(model, texts, targets, settings), "theirs": Theirs(model, texts, targets, settings)}
    check(contenders["ours"], contenders["theirs"], texts[:32])

    lengths = [len(text) for text in texts]
    sizes = f"{statistics.median(lengths):.0f} tokens (median), {max(lengths)} at most"
    print(f"{config.data}: {len(texts):,} texts of {sizes}")
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {contenders['ours'].machine}, "
          f"load average {os.getloadavg()[0]:.1f}\n")  # fmt: skip
    print("| texts a second | this project | transformers | ratio | an epoch: this project | transformers |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for what in ("train", "read"):
        speeds = {name: [] for name in contenders}
        for turn in range(-1, config.rounds):
            for name, contender in contenders.items():
                contender.model.train(what == "train")
                start = time.perf_counter()
                for step in range(config.batches):
                    getattr(contender, what)((turn + 1) * config.batches + step)
                if turn >= 0:  # the first turn warms up
                    speeds[name].append(config.batches * settings.batch_size / (time.perf_counter() - start))
        ours, theirs = (statistics.median(speeds[name]) for name in ("ours", "theirs"))
        ratio = statistics.median(a / b for a, b in zip(speeds["ours"], speeds["theirs"], strict=True))
        epochs = " | ".join(f"{len(texts) / speed:.1f} s" for speed in (ours, theirs))
        print(f"| {what} | {ours:,.0f} | {theirs:,.0f} | {ratio:.2f} | {epochs} |", flush=True)


@torch.inference_mode()
def check(ours: Ours, theirs: Theirs, texts: list[list[int]]) -> None:
    """Both programs must be training the same net."""
    ours.model.eval(), theirs.model.eval()
    difference = (ours.model(*pad(texts)) - theirs.logits(texts)).abs().max().item()
    assert difference < 1e-4, f"the two programs disagree by {difference}"


if __name__ == "__main__":
    run_main(main)
