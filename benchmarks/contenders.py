"""Programs that are timed in turns.

Each has its own process, so that its process settings (ours keeps freed memory) do not help the others. They
take turns, so that other load on the machine slows all of them.
"""

import multiprocessing
import os
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess as Process

import torch
from torch.optim import Optimizer

from gpt.errors import UserError

NO_WATCH = {"GOMP_SPINCOUNT": "300000"}  # OpenMP's own default; where it is set, gpt/fast/neighbours.py watches nobody


def serve(connection: Connection, build: Callable[..., Callable[[], None]], *settings) -> None:
    """Loop in the contender's process: receive a number of steps, take them, send back the seconds. 0 ends it."""
    os.environ.update(NO_WATCH)  # what had the turn before wants the cores no more, but ours would give way to it
    step = build(*settings)
    while steps := connection.recv():
        start = time.perf_counter()
        for _ in range(steps):
            step()
        connection.send(time.perf_counter() - start)


def start(build: Callable[..., Callable[[], None]], *settings) -> tuple[Process, Connection]:
    """A contender in its own process, and the connection to it. build(*settings) returns a function: one step."""
    os.environ.pop("THP_MEM_ALLOC_ENABLE", None)  # ours asks for large pages; the others would inherit this
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(there, build, *settings), daemon=True)
    process.start()
    there.close()
    return process, here


def take_turns(
    contenders: dict[str, tuple[Process, Connection]], rounds: int, steps: int, rest: float = 0
) -> dict[str, list[float]]:
    """Seconds of a step in every round. The contenders take turns of `steps` steps, each after `rest` seconds; the
    first turn does not count.

    Raises UserError if one of them ends early.
    """
    seconds = {name: [] for name in contenders}
    for turn in range(rounds + 1):
        for name, (_, contender) in contenders.items():
            time.sleep(rest)
            try:
                contender.send(steps)
                took = contender.recv()
            except (EOFError, ConnectionError):
                raise UserError(f"the contender {name!r} ended early: see its error above") from None
            if turn:
                seconds[name].append(took / steps)
    for process, contender in contenders.values():
        contender.send(0)
        process.join()
    return seconds


def update(optimizers: list[Optimizer]) -> None:
    """The end of every contender's step: clip the gradients to norm 1, update the weights, reset the gradients."""
    weights = [weight for optimizer in optimizers for group in optimizer.param_groups for weight in group["params"]]
    torch.nn.utils.clip_grad_norm_(weights, 1.0)
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad()
