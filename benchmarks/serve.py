"""Many clients at once: tokens per second in all, and how long each client waits.

    python -m benchmarks.serve
    python -m benchmarks.serve --peer --clients 1 16 --rounds 5

serve.py runs in a process of its own, and the clients, threads here, ask it by HTTP for streams of 64 tokens, again as
soon as they have one. The model has random weights and never ends a text by itself. With --peer, `transformers serve`
gets the same folder and the same requests, in turns with this project; it needs `pip install "transformers[serving]"`.
"""

import contextlib
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import httpx
import torch
import tyro

from benchmarks.roofline import table
from gpt.errors import UserError
from gpt.files.checkpoint import save_model
from gpt.model import GPT, GPTConfig
from gpt.running.command_line import parse_flags, run_main
from gpt.tokenizer import Tokenizer

SHAPES = {
    "small": ("4 layers, 128 wide, 0.8M", GPTConfig(257, 256, 4, 4, 128)),
    "medium": ("6 layers, 384 wide, 10.7M", GPTConfig(257, 256, 6, 6, 384)),
    "gpt2": ("12 layers, 768 wide, 86M", GPTConfig(257, 1024, 12, 12, 768)),
}
PROMPT = "Once upon a time there was a cat."
PATIENCE = 120.0  # seconds for a server to start, and for an answer


@dataclass(frozen=True)
class ServeBenchmark:
    model: Literal["small", "medium", "gpt2"] = "small"
    """the shape of the random model"""
    clients: tuple[int, ...] = (1, 4, 16, 30)
    """how many clients there are at a time"""
    tokens: int = 64
    """tokens of each answer"""
    rounds: int = 4
    """answers that each client gets, after one that does not count"""
    peer: bool = False
    """also measure `transformers serve`"""


class Measured(NamedTuple):
    tokens: int
    first: float  # seconds to the first text
    whole: float  # and to the last


def write_model(shape: GPTConfig, folder: Path) -> None:
    """A model folder with random weights, in which the end-of-text token is never likely."""
    torch.manual_seed(0)
    model, tokenizer = GPT(shape), Tokenizer([])
    with torch.no_grad():
        end = model.transformer.wte.weight[tokenizer.end_of_text]
        model.transformer.ln_f.bias.sub_(20 * end / end.square().sum())
    save_model(model, tokenizer, folder)


@contextlib.contextmanager
def started(command: list[str], port: int) -> Iterator[str]:
    """A server as a process: its address, when it answers. Raises UserError if it ends before that."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            url, end = f"http://127.0.0.1:{port}", time.monotonic() + PATIENCE
            while True:
                with contextlib.suppress(httpx.TransportError):
                    if httpx.get(f"{url}/health").status_code == 200:
                        break
                if process.poll() is not None or time.monotonic() > end:
                    output.seek(0)
                    last = output.read().decode("utf-8", "replace").strip().split("\n")[-1]
                    raise UserError(f"{' '.join(command[:3])} did not start: {last}")
                time.sleep(0.2)
            yield url
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def ask(client: httpx.Client, model: str, tokens: int, seed: int) -> Measured:
    """One stream, timed."""
    body = {"model": model, "prompt": PROMPT, "max_tokens": tokens, "seed": seed, "temperature": 1.0, "stream": True}
    body["stream_options"] = {"include_usage": True}
    start, first, written = time.perf_counter(), 0.0, 0
    with client.stream("POST", "/v1/completions", json=body) as answer:
        answer.raise_for_status()
        for line in answer.iter_lines():
            if not line.startswith("data: {"):
                continue
            chunk = json.loads(line.removeprefix("data: "))
            first = first or time.perf_counter() - start
            written = (chunk.get("usage") or {}).get("completion_tokens", written)
    return Measured(written, first, time.perf_counter() - start)


def crowd(url: str, model: str, clients: int, config: ServeBenchmark) -> list[str]:
    """A row's numbers: tokens per second in all, median time to the first token, 95th percentile of an answer."""

    def one(number: int) -> list[Measured]:
        with httpx.Client(base_url=url, timeout=PATIENCE) as client:
            return [ask(client, model, config.tokens, 1000 * number + i) for i in range(config.rounds)]

    with httpx.Client(base_url=url, timeout=PATIENCE) as client:
        ask(client, model, config.tokens, 0)  # the first is slower
    start = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        measured = [each for answers in pool.map(one, range(clients)) for each in answers]
    seconds = time.perf_counter() - start
    whole = sorted(each.whole for each in measured)
    slow = whole[min(len(whole) - 1, int(0.95 * len(whole)))]
    first = statistics.median(each.first for each in measured)
    total = sum(each.tokens for each in measured)
    return [f"{total / seconds:,.0f}", f"{1000 * first:,.0f}", f"{1000 * slow:,.0f}"]


def main() -> None:
    config = parse_flags(lambda: tyro.cli(ServeBenchmark, description=__doc__))
    if not config.clients or min(*config.clients, config.tokens, config.rounds) < 1:
        raise UserError("--clients, --tokens and --rounds must be at least 1")
    title, shape = SHAPES[config.model]
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as servers:
        write_model(shape, Path(folder) / "model")
        names = {
            "this project": ("model", [sys.executable, "serve.py", "--model", f"{folder}/model", "--device", "cpu"])
        }
        if config.peer:
            start = [sys.executable, "-m", "transformers.cli.transformers", "serve", f"{folder}/model"]
            names["transformers serve"] = (f"{folder}/model", [*start, "--device", "cpu"])
        urls = {}
        for name, (_, command) in names.items():
            port = free_port()
            urls[name] = servers.enter_context(started([*command, "--port", str(port)], port))
        rows = []
        for clients in config.clients:
            for name, (model, _) in names.items():
                rows.append([name, str(clients), *crowd(urls[name], model, clients, config)])
    print(f"{title}; {config.tokens} tokens an answer, {config.rounds} answers a client; torch {torch.__version__}\n")
    print(table(["", "clients", "tokens/s in all", "first token, ms (median)", "whole answer, ms (95 %)"], rows))


if __name__ == "__main__":
    run_main(main)
