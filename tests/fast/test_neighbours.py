"""Threads give way to other programs, and no bit changes."""

import os
import subprocess
import sys
import time

import pytest
import torch

from gpt.fast import neighbours
from gpt.fast.neighbours import BUSY, Neighbours, OthersUse, watch_neighbours
from tests.helpers import ROOT

linux = pytest.mark.skipif(sys.platform != "linux", reason="GNU OpenMP and /proc/stat are Linux's")


def wait_until(true) -> bool:
    end = time.monotonic() + 10
    while not true() and time.monotonic() < end:
        time.sleep(0.01)
    return true()


def test_a_spare_team_is_kept_while_others_use_the_cores_and_let_go_afterwards():
    share = 0.0
    watched = Neighbours(lambda: share, interval=0.01)
    try:
        time.sleep(0.1)
        assert watched.spare is None
        share = 0.9
        assert wait_until(lambda: watched.spare is not None)
        share = (neighbours.BUSY + neighbours.QUIET) / 2  # neither busy nor quiet: it stays as it is
        time.sleep(0.1)
        assert watched.spare is not None and watched.spare.is_alive()
        share = 0.0
        assert wait_until(lambda: watched.spare is None)
    finally:
        watched.stop()
    assert not watched.watcher.is_alive()


COUNT_THREADS = """
import time
from pathlib import Path
import torch
from gpt.fast.neighbours import Neighbours

def is_reached(threads):
    end = time.monotonic() + 10
    while time.monotonic() < end:
        torch.ones(1 << 20).sum()
        if len(list(Path("/proc/self/task").iterdir())) == threads:
            return True

torch.set_num_threads(2)
torch.ones(1 << 20).sum()
before = len(list(Path("/proc/self/task").iterdir()))
watched = Neighbours(lambda: 1.0, interval=0.01)
assert is_reached(before + 3), "the watcher, and two of the team"
watched.stop()
assert is_reached(before), "both are gone"
"""


@linux
def test_a_spare_team_is_one_more_thread_of_the_system():
    environment = os.environ | {"PYTHONPATH": str(ROOT)}  # a process of its own: other tests leave threads behind
    subprocess.run([sys.executable, "-c", COUNT_THREADS], check=True, env=environment)


def test_a_spare_team_changes_no_bit():
    torch.manual_seed(0)
    a, b = torch.randn(300, 400), torch.randn(400, 500)
    alone = (a @ b).softmax(dim=-1).sum(dim=0)
    watched = Neighbours(lambda: 1.0, interval=0.01)
    try:
        assert wait_until(lambda: watched.spare is not None)
        assert torch.equal((a @ b).softmax(dim=-1).sum(dim=0), alone)
    finally:
        watched.stop()


@linux
def test_another_program_is_noticed_and_our_own_work_is_not():
    cores, threads = len(os.sched_getaffinity(0)), torch.get_num_threads()
    torch.set_num_threads(cores)
    others, start, used = OthersUse(), time.monotonic(), time.process_time()
    while time.monotonic() < start + 1:  # our own work; other programs of this machine may run beside it
        torch.ones(1 << 20).sum()
    own = (time.process_time() - used) / (time.monotonic() - start)
    assert others() <= cores - own + 0.2  # together, all have as much as there is
    torch.set_num_threads(threads)
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as other:
        time.sleep(0.5)
        others()
        time.sleep(1)
        assert others() > BUSY
        other.kill()


@pytest.mark.parametrize("name", ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT"])
def test_what_the_user_has_set_stands(name, monkeypatch):
    monkeypatch.setattr(neighbours, "Neighbours", lambda others: pytest.fail("it watches"))
    monkeypatch.setenv(name, "passive" if name == "OMP_WAIT_POLICY" else "300000")
    watch_neighbours()
