"""What several tests build: small models, reviews that are easy to tell apart, a short training."""

import csv
import dataclasses
import random
import signal
from pathlib import Path

import torch

from gpt.classifier import GPTClassifier
from gpt.fast.batch import Batch
from gpt.model import GPT, GPTConfig
from gpt.running.train_config import TrainConfig
from gpt.sampling import Sampling

ROOT = Path(__file__).parent.parent
GREEDY = Sampling(temperature=0)
PROMPTS = [[1, 2, 3], [7] * 17, [250], [9, 8, 7, 6, 5, 4, 3, 2], [1, 2, 3]]


def random_model(position: str, vocab_size: int = 300, seed: int = 0) -> GPT:
    """Weights ten times as large as at the start of training, so that mistakes show in the logits."""
    torch.manual_seed(seed)
    model = GPT(GPTConfig(vocab_size, context_length=32, n_layer=3, n_head=4, n_embd=64, position=position))
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * (0.2 if weight.ndim == 2 else 0.1))
    return model.eval()


def masked_model(position: str, vocab_size: int = 302) -> GPT:
    """The same that sees both sides; its last two ids are mask and padding."""
    plain = random_model(position, vocab_size)
    model = GPT(dataclasses.replace(plain.config, causal=False))
    model.load_state_dict(plain.state_dict())
    return model.eval()


def label_net(model: GPT, labels, kind=GPTClassifier, seed: int = 1):
    """A classifier or tagger on this model's body; the seed is that of its head."""
    torch.manual_seed(seed)
    net = kind(model.config, labels)
    net.transformer.load_state_dict(model.transformer.state_dict())
    return net.eval()


def stir(net, scale: float = 0.2, seed: int = 2):
    """As if it had been trained: everything that is trained takes other values."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for weight in net.parameters():
            if weight.requires_grad:
                weight.add_(torch.randn_like(weight) * scale)
    return net


NOUNS = ["the film", "the meal", "this toy", "our walk", "a song", "the book", "my visit", "the game"]
GOOD, BAD = ["great", "lovely", "charming"], ["awful", "dreadful", "boring"]


def write_reviews(path, count, seed):
    """Reviews that are easy to tell apart: the last word decides."""
    draw = random.Random(seed)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for i in range(count):
            words = GOOD if i % 2 else BAD
            writer.writerow([f"I thought, number {draw.randrange(1000)}, {draw.choice(NOUNS)} was {draw.choice(words)}",
                             "good" if i % 2 else "bad"])  # fmt: skip


def small_training(data: Path, out: Path) -> TrainConfig:
    """Twenty steps of a very small net with dropout."""
    return TrainConfig(
        GPTConfig(context_length=32, n_layer=2, n_head=2, n_embd=32, dropout=0.1, position="rotary"),
        out,
        max_steps=20,
        batch_size=8,
        warmup_steps=2,
        eval_every=8,
        log_every=5,
        data=data,
        device="cpu",
        precision="float32",  # so that small differences show
        threads=1,
    )


def run_batch(model, prompts, seeds, n, sampling=GREEDY, num_top=None):
    """All rows' choices after n steps."""
    batch = Batch(model, prompts, seeds, n, sampling, num_top)
    rows = [[] for _ in prompts]
    for _ in range(n):
        for row, choice in batch.step().items():
            rows[row].append(choice)
    return rows


def tokens_of(choices):
    return [choice.token for choice in choices]


def matrices_with(strengths: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """(3, rows, columns), with as many of these singular values as fit: once, a thousandth, fifty times."""
    U, _, Vh = torch.linalg.svd(torch.randn(3, rows, columns), full_matrices=False)
    return U @ torch.diag(strengths[: min(rows, columns)]) @ Vh * torch.tensor([1, 1e-3, 50])[:, None, None]


def move_side_by_side(build_one, build_two, tolerance):
    """Two optimizers, five steps on the same matrices along the same gradients: they must end at the same weights."""
    torch.manual_seed(0)
    ones = [torch.nn.Parameter(torch.randn(shape)) for shape in ((48, 16), (16, 48), (16, 16), (16, 16))]
    twos = [torch.nn.Parameter(weight.detach().clone()) for weight in ones]
    one, two = build_one(ones), build_two(twos)
    for _ in range(5):
        for here, there in zip(ones, twos, strict=True):
            here.grad = torch.randn_like(here)
            there.grad = here.grad.clone()
        one.step()
        two.step()
    for here, there in zip(ones, twos, strict=True):
        torch.testing.assert_close(here, there, atol=tolerance, rtol=0)


def stop_after(monkeypatch, batches, step):
    """Interrupt a run as Ctrl-C would, while it is at work on the step after `step`. batches: the class whose `batch`
    the run asks for each step, Dataset or Buckets."""
    original = batches.batch

    def batch(self, at):
        if at == step:
            signal.raise_signal(signal.SIGINT)
        return original(self, at)

    monkeypatch.setattr(batches, "batch", batch)
