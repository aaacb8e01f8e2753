"""train.py's main() in processes that can be killed, and that start at once: forked from one that has imported it."""

import multiprocessing
import os
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path

import matplotlib.pyplot  # noqa: F401  these three are what a run imports late
import torch
import torch._dynamo
import torch.distributed.fsdp

import train
from gpt.running.command_line import run_main

METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
CONTEXT = multiprocessing.get_context(METHOD)
# A run of a very small net: a step takes milliseconds.
SMALL = {"device": "cpu", "precision": "float32", "threads": 1, "model.context-length": 32, "model.n-layer": 2}
SMALL |= {"model.n-head": 2, "model.n-embd": 32, "batch-size": 8, "warmup-steps": 2}


def start_train(
    out: Path, *more: str, log: str | None = None, environment: dict[str, str] | None = None, **settings
) -> BaseProcess:
    """Start `python train.py tiny --out OUT` with these settings; what it prints goes to LOG.log, errors to LOG.err,
    LOG being OUT where it is not given."""
    settings = {"out": out} | SMALL | {name.replace("_", "-"): value for name, value in settings.items()}
    arguments = [str(word) for name, value in settings.items() for word in (f"--{name}", value)]
    if METHOD == "forkserver":
        from multiprocessing import forkserver

        CONTEXT.set_forkserver_preload(["tests.processes"])
        before = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = os.pathsep.join(map(str, sys.path))  # the server does not take it over by itself
        forkserver.ensure_running()
        del os.environ["PYTHONPATH"]
        if before is not None:
            os.environ["PYTHONPATH"] = before
    process = CONTEXT.Process(target=_work, args=(["tiny", *arguments, *more], log or str(out), environment or {}))
    process.start()
    return process


def _work(arguments: list[str], logs: str, environment: dict[str, str]) -> None:
    os.environ.update(environment)
    for stream, suffix in ((sys.stdout, ".log"), (sys.stderr, ".err")):
        file = os.open(logs + suffix, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.dup2(file, stream.fileno())
    torch.set_num_threads(1)
    sys.argv = ["train.py", *arguments]
    run_main(train.main)
