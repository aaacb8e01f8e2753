"""Contenders for benchmarks.contenders, in a file that their new processes import quickly."""

import os
import threading

import torch

from gpt.fast.neighbours import watch_neighbours


def build_counter(log, name):
    """A contender that, at each step, adds its name and its process to a log that all share."""

    def step():
        with log.open("a", encoding="utf-8") as file:
            file.write(f"{name} {os.getpid()}\n")

    return step


def build_watcher(log):
    """A contender that would watch its neighbours, as train.py does, and names its threads."""
    torch.set_num_threads(2)
    watch_neighbours()
    return lambda: log.write_text(" ".join(thread.name for thread in threading.enumerate()), encoding="utf-8")


def build_nothing():
    raise RuntimeError("no memory for it")
