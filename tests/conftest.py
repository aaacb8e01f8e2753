"""What the tests share: real text that every machine has, and small folders made from it."""

import csv
import json
import random
import signal
import sysconfig
from pathlib import Path

import pytest
import torch

from data.prepare import PrepareConfig, prepare
from gpt.checkpoint import save_model
from gpt.finetune_config import FinetuneConfig
from gpt.model import GPT, GPTConfig
from gpt.tokenizer import Tokenizer
from gpt.train_config import TrainConfig

torch.set_num_threads(1)  # quicker than two for nets this small


@pytest.fixture(scope="session")
def python_source() -> str:
    """A million characters of English-like text: the standard library's own source."""
    text = ""
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        text += path.read_text(encoding="utf-8")
        if len(text) > 1_000_000:
            break
    return text


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory, python_source: str) -> Path:
    """A tokens folder of 40 documents with a vocabulary of 300."""
    folder = tmp_path_factory.mktemp("corpus")
    with (folder / "text.jsonl").open("w", encoding="utf-8") as file:
        for i in range(40):
            file.write(json.dumps({"text": python_source[i * 1000 : (i + 1) * 1000]}) + "\n")
    prepare(PrepareConfig((folder / "text.jsonl",), folder / "tokens", vocab_size=300))
    return folder / "tokens"


@pytest.fixture(params=["learned", "rotary"])
def model(request: pytest.FixtureRequest) -> GPT:
    """A small GPT with random weights, of each kind of positions."""
    return random_model(request.param)


def random_model(position: str, vocab_size: int = 300, seed: int = 0) -> GPT:
    """Weights ten times as large as at the start of training, so that mistakes show in the logits."""
    torch.manual_seed(seed)
    model = GPT(GPTConfig(vocab_size, context_length=32, n_layer=3, n_head=4, n_embd=64, position=position))
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * (0.2 if weight.ndim == 2 else 0.1))
    return model.eval()


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


@pytest.fixture(scope="session")
def base(tmp_path_factory, corpus):
    """A model folder: two small blocks with random weights."""
    torch.manual_seed(7)
    model = GPT(GPTConfig(300, 64, 2, 2, 32, position="rotary"))
    folder = tmp_path_factory.mktemp("base")
    save_model(model, Tokenizer.load(corpus), folder)
    return folder


@pytest.fixture(scope="session")
def reviews(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reviews")
    for seed, (split, count) in enumerate({"train": 160, "val": 40, "test": 40}.items()):
        write_reviews(folder / f"{split}.csv", count, seed)
    return folder


@pytest.fixture
def config(base, reviews, tmp_path):
    return FinetuneConfig(
        base, reviews, tmp_path / "run", min_steps=40, epochs=1, batch_size=16, learning_rate=5e-3,
        lm_loss=0.2, word_dropout=0.05, evaluations=4, device="cpu", precision="float32", threads=1,
    )  # fmt: skip


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


@pytest.fixture(autouse=True)
def restore_signals():
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)
