"""Many clients at once: tokens per second in all, and how long each client waits.

    python -m benchmarks.serve
    python -m benchmarks.serve --peer --clients 1 16 --rounds 5

serve.py runs in a process of its own, and the clients, threads here, ask it by HTTP for streams of 64 tokens, again as
soon as they have one. The model is a copy of the one in --model, by default that of `train.py tiny`, which never ends a
text by itself. With --peer, `transformers serve` and llama.cpp's server get the same weights and the same requests, in
turns with this project: one server works, the others wait. They need

    python -m pip install -r requirements/dev.txt "transformers[serving]"

serving_peers.py says how each of them is given its best.
"""

import contextlib
import json
import math
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import NamedTuple

import torch
import tyro

from benchmarks.roofline import table
from benchmarks.serving_peers import SLOTS, write_for_transformers
from gpt.errors import UserError
from gpt.files.checkpoint import load_model, save_model
from gpt.files.tokenizer_files import load_tokenizer
from gpt.model import GPT
from gpt.running.command_line import parse_flags, run_main
from gpt.tokenizer import Tokenizer

PROMPT = "Once upon a time there was a cat."
PATIENCE = 120.0  # seconds for a server to start, and for an answer


@dataclass(frozen=True)
class ServeBenchmark:
    model: Path = Path("out/tiny")
    """a model folder of train.py"""
    clients: tuple[int, ...] = (1, 4, 16, 30)
    """how many clients there are at a time"""
    tokens: int = 64
    """tokens of each answer"""
    rounds: int = 4
    """answers that each client gets, after one that does not count"""
    peer: bool = False
    """also measure `transformers serve` and llama.cpp's server"""


class Measured(NamedTuple):
    tokens: int
    first: float  # seconds to the first text
    whole: float  # and to the last


def endless(folder: Path) -> tuple[GPT, Tokenizer]:
    """A model to which the end-of-text token is never likely, and its tokenizer."""
    model, tokenizer = load_model(folder), load_tokenizer(folder)
    with torch.no_grad():
        end = model.transformer.wte.weight[tokenizer.end_of_text]
        model.transformer.ln_f.bias.sub_(30 * end / end.square().sum())
    return model, tokenizer


def write_for_all(model: GPT, tokenizer: Tokenizer, folder: Path, peer: bool) -> dict[str, tuple[str, list[str]]]:
    """Write the model for each server; name of the server -> (name of the model there, command that starts it)."""
    python = [sys.executable, "-m"]
    save_model(model, tokenizer, folder / "model")
    ours = ("model", [sys.executable, "serve.py", "--model", f"{folder}/model", "--device", "cpu"])
    if not peer:
        return {"this project": ours}
    from gpt.export.gguf import write_gguf

    write_for_transformers(model, tokenizer, folder / "peer")
    write_gguf(model, tokenizer, folder / "model.gguf")
    serve = [*python, "transformers.cli.transformers", "serve", f"{folder}/peer", "--device", "cpu"]
    batching = ["--continuous-batching", "--cb-num-blocks", str(2 * SLOTS)]  # of 256 tokens; else 9 GB are taken
    return {
        "this project": ours,
        "transformers serve": (f"{folder}/peer", [*serve, *batching]),
        "llama.cpp": ("model", [*python, "benchmarks.serving_peers", f"{folder}/model.gguf"]),
    }


@contextlib.contextmanager
def started(command: list[str]) -> Iterator[int]:
    """A server as a process: its port, when it answers there. Raises UserError if it ends before that."""
    port = free_port()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen([*command, "--port", str(port)], stdout=output, stderr=output)
        try:
            end = time.monotonic() + PATIENCE
            while not answers(port):
                if process.poll() is not None or time.monotonic() > end:
                    output.seek(0)
                    last = output.read().decode("utf-8", "replace").strip().split("\n")[-1]
                    raise UserError(f"{' '.join(command[:3])} did not start: {last}")
                time.sleep(0.2)
            yield port
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def answers(port: int) -> bool:
    client = HTTPConnection("127.0.0.1", port, timeout=5)
    with contextlib.closing(client):
        try:
            client.request("GET", "/health")
            return client.getresponse().status == 200
        except (OSError, HTTPException):
            return False


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def ask(port: int, model: str, tokens: int, seed: int) -> Measured:
    """One stream, timed, on a connection of its own: llama.cpp's server ends each with its stream. It is read by
    Python's own client, and hardly looked at: the clients run on the same cores as the server, and should not be what
    is measured."""
    body = {"model": model, "prompt": PROMPT, "max_tokens": tokens, "seed": seed, "temperature": 1.0, "stream": True}
    body["stream_options"] = {"include_usage": True}
    client = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    with contextlib.closing(client):
        start, first, usage = time.perf_counter(), 0.0, b""
        client.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
        answer = client.getresponse()
        while line := answer.readline():
            if line.startswith(b"data: {"):
                first = first or time.perf_counter() - start
                usage = line  # of the last chunk
        seconds = time.perf_counter() - start
    if answer.status != 200 or not usage:
        raise UserError(f"the server answered {answer.status} instead of a stream")
    return Measured(json.loads(usage[6:])["usage"]["completion_tokens"], first, seconds)


def crowd(port: int, model: str, clients: int, config: ServeBenchmark) -> list[str]:
    """A row's numbers: tokens per second in all; median and 95th percentile of the time to the first token, in ms; 95th
    percentile of a whole answer, in ms."""

    def one(number: int, rounds: int = config.rounds) -> list[Measured]:
        return [ask(port, model, config.tokens, 1000 * number + i) for i in range(rounds)]

    one(0, rounds=1)  # the first is slower
    start = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        measured = [each for answers in pool.map(one, range(clients)) for each in answers]
    seconds = time.perf_counter() - start
    firsts, wholes = [each.first for each in measured], [each.whole for each in measured]
    times = (statistics.median(firsts), late(firsts), late(wholes))
    total = sum(each.tokens for each in measured)
    return [f"{total / seconds:,.0f}", *(f"{1000 * time:,.0f}" for time in times)]


def late(times: list[float]) -> float:
    """The 95th percentile: of 20, the second longest; of few, the longest."""
    return sorted(times)[math.ceil(0.95 * len(times)) - 1]


def main() -> None:
    config = parse_flags(lambda: tyro.cli(ServeBenchmark, description=__doc__))
    if not config.clients or min(*config.clients, config.tokens, config.rounds) < 1:
        raise UserError("--clients, --tokens and --rounds must be at least 1")
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as servers:
        model, tokenizer = endless(config.model)
        names = write_for_all(model, tokenizer, Path(folder), config.peer)
        ports = {name: servers.enter_context(started(command)) for name, (_, command) in names.items()}
        rows = []
        for clients in config.clients:
            for name, (model_name, _) in names.items():
                rows.append([name, str(clients), *crowd(ports[name], model_name, clients, config)])
    shape = f"{model.config.n_layer} layers, {model.config.n_embd} wide, {model.config.vocab_size:,} tokens"
    print(f"{shape}; {config.tokens} tokens an answer, {config.rounds} answers a client; torch {torch.__version__}\n")
    head = ["", "clients", "tokens/s in all", "first token, ms", "95 %", "whole answer, ms (95 %)"]
    print(table(head, rows))


if __name__ == "__main__":
    run_main(main)
