"""What the tests share: real text that every machine has, and small folders made from it."""

import gc
import json
import multiprocessing
import os
import signal
import sysconfig
from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure

import train
from data.prepare import PrepareConfig, prepare
from gpt.files.checkpoint import save_model
from gpt.files.tokenizer_files import load_tokenizer
from gpt.finetuning import report_plots
from gpt.finetuning.finetune_config import FinetuneConfig
from gpt.model import GPT, GPTConfig
from gpt.running import plots
from tests.helpers import random_model, write_reviews
from tests.processes import quick_context, save_empty

torch.set_num_threads(1)  # quicker than two for nets this small


def pytest_collection_finish():
    """What is imported stays: the garbage collector need not look through it again and again."""
    gc.collect()
    gc.freeze()


# What a run draws at its end, and what writes any picture to a file.
DRAWN = [(plots, "plot_loss")]
DRAWN += [(report_plots, f"plot_{what}") for what in ("confusion", "learning_curve", "label_curve", "scores")]
DRAWING = {drawn: getattr(*drawn) for drawn in [*DRAWN, (Figure, "savefig")]}


@pytest.fixture(scope="session", autouse=True)
def no_pictures():
    """A picture takes half a second to draw, and most tests of a run do not look at its pictures: these stay empty."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", save_empty)
        for place, name in DRAWN:
            patch.setattr(place, name, lambda *arguments: arguments[-1].touch())
        yield


@pytest.fixture
def pictures(monkeypatch):
    """For the tests that do look at them."""
    for (place, name), draw in DRAWING.items():
        monkeypatch.setattr(place, name, draw)


@pytest.fixture(scope="session", autouse=True)
def short_samples():
    """A sample of train.py has 12 tokens, not 120, which take as long as all else in a run of twenty steps."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("generate", "generate_with_cache"):
            write = getattr(train, name)
            patch.setattr(
                train,
                name,
                lambda model, opening, _, *rest, write=write, **more: write(model, opening, 12, *rest, **more),
            )
        yield


@pytest.fixture(scope="session", autouse=True)
def no_flushing():
    """No test loses its power: it need not wait until the disk holds what was written, ten times in each run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def no_seeds_for_absent_devices():
    """For each seed, PyTorch writes down where it was set, to set it once there is such a device: a millisecond."""
    with pytest.MonkeyPatch.context() as patch:
        for devices in (torch.cuda, torch.xpu, torch.mtia):
            if not devices.is_available():
                patch.setattr(devices, "manual_seed_all", lambda seed: None)
        yield


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


@pytest.fixture(scope="session")
def base(tmp_path_factory, corpus):
    """A model folder: two small blocks with random weights."""
    torch.manual_seed(7)
    model = GPT(GPTConfig(300, 64, 2, 2, 32, position="rotary"))
    folder = tmp_path_factory.mktemp("base")
    save_model(model, load_tokenizer(corpus), folder)
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


@pytest.fixture
def quick_processes(monkeypatch):
    """Processes that would be spawned are forked from one that has imported PyTorch."""
    context = quick_context()
    monkeypatch.setattr(multiprocessing, "get_context", lambda method: context)


@pytest.fixture(autouse=True)
def restore_signals():
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)
