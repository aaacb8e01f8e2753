"""What the tests share: real text that every machine has, and small folders made from it."""

import json
import sysconfig
from pathlib import Path

import pytest
import torch

from data.prepare import PrepareConfig, prepare
from gpt.model import GPT, GPTConfig

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
