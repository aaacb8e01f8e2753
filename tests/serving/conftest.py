"""Small random models of each kind, and servers for them on free ports, in threads."""

import contextlib
import threading
import time
from types import SimpleNamespace

import pytest
import torch

from gpt.classifier import GPTClassifier
from gpt.files.checkpoint import save_model
from gpt.finetuning.saved import save_answering_model, save_classifier
from gpt.model import GPTConfig
from gpt.tokenizer import Tokenizer
from tests.helpers import random_model

TOKENIZER = Tokenizer.train(["the cat sat on the mat " * 50], 300)


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """Model folders: writer, answerer, labeller (three labels), number (regression)."""
    root = tmp_path_factory.mktemp("models")
    writer = random_model("rotary", TOKENIZER.vocab_size)
    with torch.no_grad():  # it never ends a text by itself
        writer.transformer.ln_f.bias.sub_(5 * writer.transformer.wte.weight[TOKENIZER.end_of_text])
    save_model(writer, TOKENIZER, root / "writer")
    answering = Tokenizer(TOKENIZER.merges, add_bos_token=True)
    save_answering_model(random_model("learned", TOKENIZER.vocab_size, seed=1), answering, root / "answerer", room=8)
    for name, labels in (("labeller", ("bad", "fair", "好")), ("number", ("score",))):
        torch.manual_seed(3)
        shape = GPTConfig(TOKENIZER.vocab_size, 32, 2, 2, 32, position="rotary")
        save_classifier(GPTClassifier(shape, labels).eval(), TOKENIZER, root / name)
    return tuple(root / name for name in ("writer", "answerer", "labeller", "number"))


@contextlib.contextmanager
def serving(folders, key=None, log_prompts=False, hosts=None, **limits):
    """A server in a thread: its address, its gate, its models. Nothing of a request may be left when it ends."""
    pytest.importorskip("starlette", reason="serving needs requirements/serve.txt")
    pytest.importorskip("uvicorn", reason="serving needs requirements/serve.txt")
    pytest.importorskip("prometheus_client", reason="serving needs requirements/serve.txt")
    from data.world.by_sentence import judge_by_sentence
    from gpt.running.device import pick_machine
    from gpt.serving.api import build_app
    from gpt.serving.requests import Limits
    from gpt.serving.served import load_served
    from gpt.serving.server import build_server
    from serve import listen

    served = load_served(folders, pick_machine("cpu", plain=True), Limits(**limits), quantize=False)
    gate = build_app(served, Limits(**limits), key, hosts, log_prompts, judge_by_sentence)
    listener = listen("127.0.0.1", 0)
    server = build_server(gate)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    port = listener.getsockname()[1]
    try:
        until(lambda: server.started)
        yield SimpleNamespace(url=f"http://127.0.0.1:{port}", port=port, gate=gate, served=served, server=server)
        until(lambda: not any(unfinished(model) for model in served.values()))
    finally:
        server.should_exit = True
        thread.join(10)
        for model in served.values():
            model.close()


def unfinished(model):
    """How many texts a model has to write or label."""
    return model.engine.unfinished if hasattr(model, "engine") else model.unfinished


def until(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.005)


@pytest.fixture(scope="session")
def server(folders):
    with serving(folders) as server:
        yield server


@pytest.fixture
def client(server):
    httpx = pytest.importorskip("httpx")
    with httpx.Client(base_url=server.url, timeout=20) as client:
        yield client
