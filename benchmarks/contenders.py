"""Programs that are timed side by side.

Each has a process of its own, so that what it does to it (ours keeps freed memory) does not help the others. They take
turns, so that whatever else the machine does disturbs all of them.
"""

import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess as Process

import torch
from torch.optim import Optimizer

from gpt.errors import UserError


def serve(connection: Connection, build: Callable[..., Callable[[], None]], *settings) -> None:
    """In the contender's process: take as many steps as asked for, and send back the seconds, until 0 are."""
    step = build(*settings)
    while steps := connection.recv():
        start = time.perf_counter()
        for _ in range(steps):
            step()
        connection.send(time.perf_counter() - start)


def start(build: Callable[..., Callable[[], None]], *settings) -> tuple[Process, Connection]:
    """A contender in a process of its own, and the line to it. build(*settings) returns a function: one step."""
    os.environ.pop("THP_MEM_ALLOC_ENABLE", None)  # ours asks for large pages; the others would inherit that from here
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(there, build, *settings), daemon=True)
    process.start()
    there.close()
    return process, here


def measure(contenders: dict[str, tuple[Process, Connection]], rounds: int, steps: int) -> dict[str, float]:
    """Median seconds of a step, the contenders taking turns of `steps` steps after one that does not count.

    Raises UserError if one of them ends before.
    """
    seconds = {name: [] for name in contenders}
    for turn in range(rounds + 1):
        for name, (_, contender) in contenders.items():
            try:
                contender.send(steps)
                took = contender.recv()
            except (EOFError, ConnectionError):
                raise UserError(f"the contender {name!r} ended early: its own error stands above") from None
            if turn:
                seconds[name].append(took / steps)
    for process, contender in contenders.values():
        contender.send(0)
        process.join()
    return {name: statistics.median(times) for name, times in seconds.items()}


def update(optimizers: list[Optimizer]) -> None:
    """What ends every contender's step: gradients shortened to 1, the weights moved, the gradients forgotten."""
    weights = [weight for optimizer in optimizers for group in optimizer.param_groups for weight in group["params"]]
    torch.nn.utils.clip_grad_norm_(weights, 1.0)
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad()
