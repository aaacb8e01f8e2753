"""Serve models over HTTP, with the interface of OpenAI: many clients at once, each as if it were alone.

    python serve.py --model out/tiny
    python serve.py --model out/tiny out/sentiment --port 8000
    python serve.py --model out/tiny --host 0.0.0.0 --key-file key.txt

The first two answer this machine only; open the address in a browser for a page that writes and looks inside.
gpt/serving/openapi.json describes the interface. Ctrl-C finishes the texts that are being written, refuses new ones,
and stops; a second one stops at once.
"""

import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from gpt.errors import UserError
from gpt.running.command_line import parse_flags, run_main

LOCAL = ("127.0.0.1", "localhost", "::1")
SHORTEST_KEY = 16  # characters


@dataclass(frozen=True)
class ServeConfig:
    model: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="FOLDER ...")]
    """model folders, such as train.py and finetune.py write; clients name them by the folder's own name"""
    host: str = "127.0.0.1"
    """the address to listen at; any but this machine's own needs --key-file or --no-key"""
    port: int = 8000
    """0 takes a free one"""
    key_file: Path | None = None
    """a file with the key that clients must send"""
    no_key: tyro.conf.FlagCreatePairsOff[bool] = False
    """let everybody in who can reach the address"""
    rows: int = 32
    """texts written side by side"""
    waiting: int = 64
    """texts that may wait for a row; what comes after them is answered 429"""
    max_tokens: int = 2048
    """the longest text that is written, and the most that a request may ask for"""
    time_limit: float = 120.0
    """seconds from a request to the end of its answer"""
    quantize: Literal["int8"] | None = None
    """store the weights of language models in 8 bits: a quarter of the memory (see also gpt.export.int8)"""
    log_prompts: bool = False
    """write prompts into the log, without e-mail addresses, numbers and keys"""
    device: str = "auto"
    """cpu, cuda, cuda:1 or mps; auto selects the fastest available device"""


def read_key(config: ServeConfig) -> str | None:
    """The key that clients must send, or None. Raises UserError where everybody would be let in by mistake."""
    if config.key_file is not None and config.no_key:
        raise UserError("give --key-file or --no-key, not both")
    if config.key_file is None:
        if config.host not in LOCAL and not config.no_key:
            raise UserError(
                f"at {config.host} others can reach this server: give it a key with --key-file, or say --no-key"
            )
        return None
    try:
        key = config.key_file.read_text(encoding="utf-8-sig").strip()
    except UnicodeDecodeError:
        raise UserError(f"{config.key_file} is not UTF-8 text") from None
    if len(key) < SHORTEST_KEY or not key.isascii() or len(key.split()) > 1:
        raise UserError(f"{config.key_file} must hold one key of at least {SHORTEST_KEY} ASCII characters, no spaces")
    return key


def listen(host: str, port: int) -> socket.socket:
    """A socket at this address. Raises UserError if it cannot be had."""
    if not 0 <= port < 2**16:
        raise UserError(f"--port is {port}: it must be from 0 to 65535")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # With its protocol named, asyncio sends every token at once (TCP_NODELAY); without, 40 ms late.
        listener = socket.socket(family, kind, protocol)
        if hasattr(socket, "SO_REUSEPORT"):  # not on Windows, where SO_REUSEADDR would let others take the address
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"cannot listen at {host}, port {port} ({reason}): choose another --port or --host") from None
    return listener


def main() -> None:
    config = parse_flags(lambda: tyro.cli(ServeConfig, description=__doc__))
    if not config.model:
        raise UserError("--model names no folder: give it one that train.py or finetune.py wrote")
    for name in ("rows", "waiting", "max_tokens", "time_limit"):
        if getattr(config, name) < (0 if name == "waiting" else 1):
            raise UserError(f"--{name.replace('_', '-')} is {getattr(config, name)}: that leaves no room for a request")
    key = read_key(config)
    # These take seconds to import; here, --help and mistakes are answered before that.
    try:
        from gpt.serving.api import build_app
        from gpt.serving.server import serve
    except ModuleNotFoundError as error:
        raise UserError(f"{error.name} is missing: python -m pip install -r requirements/serve.txt") from None
    from data.world.by_sentence import judge_by_sentence
    from gpt.running.device import pick_machine
    from gpt.serving.requests import Limits
    from gpt.serving.served import load_served

    with listen(config.host, config.port) as listener:
        limits = Limits(config.rows, config.waiting, config.max_tokens, config.time_limit)
        served = load_served(config.model, pick_machine(config.device), limits, config.quantize == "int8")
        hosts = (*LOCAL, "[::1]") if config.host in LOCAL and key is None else None
        app = build_app(served, limits, key, hosts, config.log_prompts, judge_by_sentence)
        host, port = listener.getsockname()[:2]
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        print(f"{', '.join(served)} at http://{where}/v1 (Ctrl-C stops), with a page at http://{where}/", flush=True)
        serve(app, listener)
    for model in served.values():
        model.close()
    print("stopped")


if __name__ == "__main__":
    run_main(main)
