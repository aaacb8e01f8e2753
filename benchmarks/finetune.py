"""Labelled texts per second: this project and `transformers` fine-tune the same model on the same texts.

    python -m benchmarks.finetune --data data/reviews
    python -m benchmarks.finetune --data my_reviews.csv --rounds 9

Theirs is GPT2ForSequenceClassification, trained as in its guides: float32, AdamW, texts in random order, each batch
padded on the right to its longest text. Ours is what finetune.py does: texts of similar length share a batch, the
precision is the fastest on this machine, the optimizers are our own. Shape, weights, batch size and clipping are the
same; the script checks that both models give the same answers without dropout. The contenders take turns, each in its
own process; the table gives medians with the lowest and the highest. The last row reads texts without training.
"""

import itertools
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from torch import Tensor

from benchmarks.contenders import start, take_turns, update
from benchmarks.roofline import median_and_range, table
from gpt.classifier import GPTClassifier, loss_on_labels, pad
from gpt.fast.bpe import train_bpe_with_heap
from gpt.fast.speed_up import speed_up
from gpt.files.huggingface import config_to_hf, weights_to_hf
from gpt.finetuning.batches import Buckets
from gpt.finetuning.classification import LabelTask
from gpt.finetuning.finetune_config import FinetuneConfig
from gpt.finetuning.labelled import read_examples, read_splits
from gpt.finetuning.labelling import classify
from gpt.finetuning.trainable import build_layerwise_optimizers
from gpt.model import GPTConfig
from gpt.running.command_line import parse_flags, run_main
from gpt.running.device import pick_machine
from gpt.tokenizer import Tokenizer

PADDING = 0  # a byte that no text contains


@dataclass(frozen=True)
class BenchmarkConfig:
    data: Path = Path("data/reviews")
    """labelled texts, as finetune.py takes them"""
    vocab_size: int = 2048
    """vocabulary size of the tokenizer, which is trained on the texts"""
    rounds: int = 7
    """turns of each contender; the table gives medians"""
    batches: int = 40
    """batches of 32 in each turn"""
    threads: int | None = None
    """CPU threads; by default one per core"""


def new_net(task: LabelTask, vocab_size: int) -> GPTClassifier:
    """The model that both start from: 4 layers, 128 wide."""
    torch.manual_seed(0)
    return GPTClassifier(GPTConfig(vocab_size, 256, 4, 4, 128, dropout=0.1), task.labels)


def to_transformers(model: GPTClassifier) -> torch.nn.Module:
    """The same model, including its weights, in `transformers`."""
    from transformers import GPT2Config, GPT2ForSequenceClassification  # here, so that our process does not load it

    hf = config_to_hf(model.config, end_of_text=0) | {"num_labels": len(model.labels), "pad_token_id": PADDING}
    theirs = GPT2ForSequenceClassification(GPT2Config(**hf))
    theirs.load_state_dict(weights_to_hf(model.state_dict(), model.config), strict=False)
    return theirs


def ours(task: LabelTask, vocab_size: int, config: FinetuneConfig, training: bool) -> Callable[[], None]:
    """A training step of finetune.py, or a step that only reads."""
    set_threads(config)
    machine, texts, targets = pick_machine("cpu", config.precision), task.tokens["train"], task.targets["train"]
    model = new_net(task, vocab_size).train(training)
    twins = speed_up(model, machine.device, machine.dtype)
    optimizers = build_layerwise_optimizers(model, config, twins)
    buckets = Buckets([len(text) for text in texts], config.batch_size, config.seed)
    steps = itertools.count()

    def train() -> None:
        batch = buckets.batch(next(steps))
        tokens, lengths = pad([texts[i] for i in batch])
        with machine.autocast():
            loss = loss_on_labels(model(tokens, lengths), targets[batch], None, 0.0).mean()
        loss.backward()
        update(optimizers)

    def read() -> None:
        classify(model, [texts[i] for i in buckets.batch(next(steps))], machine)

    return train if training else read


def theirs(task: LabelTask, vocab_size: int, config: FinetuneConfig, training: bool) -> Callable[[], None]:
    """The usual recipe with `transformers`."""
    set_threads(config)
    texts, targets = task.tokens["train"], task.targets["train"]
    model = to_transformers(new_net(task, vocab_size)).train(training)
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate)
    batches = in_random_order(len(texts), config.batch_size)

    def train() -> None:
        batch = next(batches)
        logits = their_logits(model, [texts[i] for i in batch])
        torch.nn.functional.cross_entropy(logits, targets[batch]).backward()
        update([optimizer])

    @torch.inference_mode()
    def read() -> None:
        their_logits(model, [texts[i] for i in next(batches)])

    return train if training else read


def in_random_order(number: int, batch_size: int) -> Iterator[np.ndarray]:
    """Endless batches of indices."""
    order = np.random.default_rng(0).permutation(number)
    for step in itertools.count():
        yield np.take(order, range(step * batch_size, (step + 1) * batch_size), mode="wrap")


def their_logits(model: torch.nn.Module, texts: list[list[int]]) -> Tensor:
    longest = max(map(len, texts))
    tokens = torch.tensor([text + [PADDING] * (longest - len(text)) for text in texts])  # (B, T)
    mask = torch.tensor([[1] * len(text) + [0] * (longest - len(text)) for text in texts])  # (B, T)
    return model(tokens, attention_mask=mask).logits  # (B, labels)


def set_threads(config: FinetuneConfig) -> None:
    if config.threads:
        torch.set_num_threads(config.threads)


@torch.inference_mode()
def check(task: LabelTask, vocab_size: int) -> None:
    """Check that both programs train the same model."""
    model, texts = new_net(task, vocab_size).eval(), task.tokens["train"][:32]
    difference = (model(*pad(texts)) - their_logits(to_transformers(model).eval(), texts)).abs().max().item()
    assert difference < 1e-4, f"the two programs disagree by {difference}"


def main() -> None:
    config = parse_flags(lambda: tyro.cli(BenchmarkConfig, description=__doc__))
    settings = FinetuneConfig(model=Path(), data=config.data, out=Path(), threads=config.threads)
    set_threads(settings)
    texts = [e.text for e in read_splits(config.data, 0, read_examples, stratify=True)["train"]]
    tokenizer = Tokenizer.train(texts, config.vocab_size, train_bpe_with_heap)
    tokenizer.add_bos_token = True  # as in finetune.py
    task = LabelTask(settings, tokenizer, 256)
    check(task, config.vocab_size)

    lengths = [len(tokens) for tokens in task.tokens["train"]]
    sizes = f"{statistics.median(lengths):.0f} tokens (median), {max(lengths)} at most"
    print(f"{config.data}: {len(texts):,} texts of {sizes}\ntorch {torch.__version__}, {pick_machine('cpu')}\n")
    rows = []
    for what in ("train", "read"):
        job = (task, config.vocab_size, settings, what == "train")
        contenders = {"ours": start(ours, *job), "theirs": start(theirs, *job)}
        turns = take_turns(contenders, config.rounds, config.batches)
        speeds = [[settings.batch_size / each for each in turns[name]] for name in contenders]
        our_speed, their_speed = map(statistics.median, speeds)
        epochs = (f"{len(texts) / each:.1f} s" for each in (our_speed, their_speed))
        rows.append([what, *map(median_and_range, speeds), f"{our_speed / their_speed:.2f}", *epochs])
    head = ["texts a second", "this project", "transformers", "ratio", "an epoch: this project", "transformers"]
    print(table(head, rows))


if __name__ == "__main__":
    run_main(main)
