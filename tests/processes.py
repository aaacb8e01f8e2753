"""`python ...` in processes that can be killed, and that start at once: forked from one that has imported PyTorch."""

import multiprocessing
import os
import runpy
import socket
import sys
import time
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure

ROOT = Path(__file__).parent.parent
METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
CONTEXT = multiprocessing.get_context(METHOD)
# What takes seconds to import. Nothing of this project: each process imports that itself, as a new one would.
SLOW = ["torch._dynamo", "torch.distributed.fsdp", "matplotlib.pyplot", "safetensors.torch", "tyro"]
# A step of this net takes milliseconds.
SMALL = {"device": "cpu", "precision": "float32", "threads": 1, "model.context-length": 32, "model.n-layer": 2}
SMALL |= {"model.n-head": 2, "model.n-embd": 32, "batch-size": 8, "warmup-steps": 2}


def save_empty(figure: Figure, path: Path | str, **_) -> None:
    """In place of Figure.savefig: leaves an empty file."""
    Path(path).touch()


def quick_context() -> BaseContext:
    """A context of multiprocessing whose processes start at once."""
    if METHOD == "forkserver":
        from multiprocessing import forkserver

        CONTEXT.set_forkserver_preload([*SLOW, "tests.processes"])
        with pytest.MonkeyPatch.context() as patch:  # the server does not take sys.path over by itself
            patch.setenv("PYTHONPATH", os.pathsep.join(map(str, sys.path)))
            forkserver.ensure_running()
    return CONTEXT


def start_python(
    *words: str,
    log: Path | str,
    folder: Path = ROOT,
    environment: dict[str, str] | None = None,
    pictures: bool = True,
) -> BaseProcess:
    """Start `python WORDS` in a folder; what it prints goes to LOG.log, errors to LOG.err."""
    process = quick_context().Process(target=_work, args=(words, str(log), folder, environment or {}, pictures))
    process.start()
    return process


def start_torchrun(number: int, *words: str, log: Path | str, **place) -> list[BaseProcess]:
    """Start what `torchrun --nproc-per-node NUMBER WORDS` starts, without its imports; each logs to LOG.RANK."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": str(number)}
    ranks = [{"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(number)]
    return [start_python(*words, log=f"{log}.{own['RANK']}", environment=meeting | own, **place) for own in ranks]


def training(out: Path, *more: str, **settings) -> list[str]:
    """The words after `python`: train.py, a run of a very small net into OUT, and these settings."""
    settings = {"out": out} | SMALL | {name.replace("_", "-"): value for name, value in settings.items()}
    return [
        "train.py",
        "tiny",
        *(str(word) for name, value in settings.items() for word in (f"--{name}", value)),
        *more,
    ]


def start_train(out: Path, *more: str, **settings) -> BaseProcess:
    return start_python(*training(out, *more, **settings), log=out, pictures=False)


def finish(processes: list[BaseProcess]) -> list[int | None]:
    """The exit codes; a minute is a hang."""
    end = time.monotonic() + 60
    for process in processes:
        process.join(max(0, end - time.monotonic()))
        if process.is_alive():
            process.kill()
            process.join()
    return [process.exitcode for process in processes]


def _work(words: tuple[str, ...], log: str, folder: Path, environment: dict[str, str], pictures: bool) -> None:
    os.environ.update(environment)
    os.chdir(folder)
    for stream, suffix in ((sys.stdout, ".log"), (sys.stderr, ".err")):
        file = os.open(log + suffix, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.dup2(file, stream.fileno())
    torch.set_num_threads(1)
    if not pictures:  # to draw one takes as long as all else in a run of a few steps
        Figure.savefig = save_empty
    if words[0] == "-m":
        sys.argv = list(words[1:])
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = list(words)
        runpy.run_path(words[0], run_name="__main__")
