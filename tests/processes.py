"""`python ...` in processes that can be killed, and that start at once: forked from one that has imported PyTorch."""

import multiprocessing
import os
import runpy
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch

ROOT = Path(__file__).parent.parent
METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
CONTEXT = multiprocessing.get_context(METHOD)
# What takes seconds to import. Nothing of this project: each process imports that itself, as a new one would.
SLOW = ["torch._dynamo", "torch.distributed.fsdp", "matplotlib.pyplot", "safetensors.torch", "tyro"]
# A run of a very small net: a step takes milliseconds.
SMALL = {"device": "cpu", "precision": "float32", "threads": 1, "model.context-length": 32, "model.n-layer": 2}
SMALL |= {"model.n-head": 2, "model.n-embd": 32, "batch-size": 8, "warmup-steps": 2}


def start_python(
    *words: str, log: Path | str, folder: Path = ROOT, environment: dict[str, str] | None = None
) -> BaseProcess:
    """Start `python WORDS` in a folder; what it prints goes to LOG.log, errors to LOG.err."""
    if METHOD == "forkserver":
        from multiprocessing import forkserver

        CONTEXT.set_forkserver_preload([*SLOW, "tests.processes"])
        before = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = os.pathsep.join(map(str, sys.path))  # the server does not take it over by itself
        forkserver.ensure_running()
        del os.environ["PYTHONPATH"]
        if before is not None:
            os.environ["PYTHONPATH"] = before
    process = CONTEXT.Process(target=_work, args=(words, str(log), folder, environment or {}))
    process.start()
    return process


def start_train(
    out: Path, *more: str, log: str | None = None, environment: dict[str, str] | None = None, **settings
) -> BaseProcess:
    """Start `python train.py tiny --out OUT` with these settings; LOG is OUT where it is not given."""
    settings = {"out": out} | SMALL | {name.replace("_", "-"): value for name, value in settings.items()}
    arguments = [str(word) for name, value in settings.items() for word in (f"--{name}", value)]
    return start_python("train.py", "tiny", *arguments, *more, log=log or out, environment=environment)


def _work(words: tuple[str, ...], log: str, folder: Path, environment: dict[str, str]) -> None:
    os.environ.update(environment)
    os.chdir(folder)
    for stream, suffix in ((sys.stdout, ".log"), (sys.stderr, ".err")):
        file = os.open(log + suffix, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.dup2(file, stream.fileno())
    torch.set_num_threads(1)
    if words[0] == "-m":
        sys.argv = list(words[1:])
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = list(words)
        runpy.run_path(words[0], run_name="__main__")
