"""Give way where other programs use the cores too. It changes how threads wait, and no result.

PyTorch on Linux shares work among cores with GNU OpenMP, whose threads wait for each other by spinning. On a quiet
machine that is the fastest way. Where another program wants the same cores, a spinning thread keeps out the very thread
that it waits for, and training can become ten times slower. Before it sleeps, a thread of GNU OpenMP spins 300,000
rounds; but only 100 while a process has more such threads than it has cores (its manual, GOMP_SPINCOUNT). So while
other programs use the cores, `Neighbours` keeps one more team of threads, which does nothing.
"""

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import torch

SET_BY_THE_USER = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")  # then this file changes nothing
BUSY, QUIET = 0.25, 0.1  # cores that others use: from BUSY on, give way; below QUIET, spin again


class OthersUse:
    """How many cores other programs use: each call gives the mean since the last one.

    Counts the cores that this process may run on, from /proc/stat (Linux), and what other virtual machines take of
    them. This process's own time, spinning included, is subtracted.
    """

    def __init__(self) -> None:
        self.cores = {f"cpu{number}" for number in os.sched_getaffinity(0)}
        self.before = self.read()

    def read(self) -> tuple[float, float, float]:
        """(Time now, time that our cores have worked, of which this process), in seconds."""
        lines = (line.split() for line in Path("/proc/stat").read_text(encoding="ascii").splitlines())
        # user, nice, system, (idle, waiting for disks,) interrupts of two kinds, stolen by other virtual machines
        ticks = sum(sum(map(int, (*line[1:4], *line[6:9]))) for line in lines if line[0] in self.cores)
        return time.monotonic(), ticks / os.sysconf("SC_CLK_TCK"), time.process_time()

    def __call__(self) -> float:
        now = self.read()
        seconds, worked, own = (new - old for new, old in zip(now, self.before, strict=True))
        self.before = now
        return max(0.0, worked - own) / seconds if seconds > 0 else 0.0


class Neighbours:
    """A thread that keeps a spare team while others use the cores; it looks every `interval` seconds."""

    def __init__(self, others_use: Callable[[], float], interval: float = 1.0) -> None:
        self.others_use, self.interval = others_use, interval
        self.gone = threading.Event()  # set to let the spare team go
        self.spare: threading.Thread | None = None
        self.stopped = threading.Event()
        self.watcher = threading.Thread(target=self.watch, daemon=True, name="neighbours")
        self.watcher.start()

    def watch(self) -> None:
        while not self.stopped.wait(self.interval):
            share = self.others_use()
            if self.spare is None and share >= BUSY:
                self.gone = threading.Event()
                self.spare = threading.Thread(target=keep_a_team, args=(self.gone,), daemon=True)
                self.spare.start()
            elif self.spare is not None and share < QUIET:
                self.let_go()

    def let_go(self) -> None:
        if self.spare is not None:
            self.gone.set()
            self.spare.join()
            self.spare = None

    def stop(self) -> None:
        """Stop watching, and spin again."""
        self.stopped.set()
        self.watcher.join()
        self.let_go()


def keep_a_team(gone: threading.Event) -> None:
    """A second team exists from this thread's first parallel sum until the thread ends."""
    torch.ones(1 << 20).sum()
    gone.wait()


def watch_neighbours() -> None:
    """Watch them from now on, once in a process, where waiting is GNU OpenMP's and the user has not set how to wait."""
    if (
        sys.platform == "linux"
        and torch.get_num_threads() > 1
        and not any(name in os.environ for name in SET_BY_THE_USER)
        and not any(thread.name == "neighbours" for thread in threading.enumerate())
        and os.access("/proc/stat", os.R_OK)
    ):
        Neighbours(OthersUse())
