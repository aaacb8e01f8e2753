"""One of the processes of `python -m benchmarks.scale` whose exchange is timed; torchrun starts it.

A step is train.py's on this process's part of the batch, on a CPU. It is taken in three ways, in turns: as train.py
does (the exchange runs while the backward pass still computes), without any exchange, and with an exchange that one
waits for. In the last way the time inside the reduction is known; it includes waiting for the slower process.
"""

import json
import statistics
import sys
import time

import torch
import torch.distributed as dist
from torch import Tensor

from benchmarks.contenders import update
from benchmarks.paper import SHAPES
from benchmarks.train import batch
from gpt.fast.speed_up import speed_up
from gpt.model import GPT
from gpt.optim import build_optimizers
from gpt.running.device import pick_machine
from gpt.running.processes import join_processes
from train import cross_entropy


def main(name: str, seconds: float) -> None:
    """Print the seconds of a step in each way, the seconds within reductions, and the bytes reduced, as JSON."""
    machine = pick_machine("cpu")
    shape, batch_size = SHAPES[name]
    processes = join_processes(machine, batch_size, 1, shard=False)
    x, y = (processes.share(tokens, 0) for tokens in batch(shape, batch_size, machine.device))
    nets, optimizers = {}, {}  # of each way
    for way in ("train.py", "alone", "waiting"):
        torch.manual_seed(0)
        model = GPT(shape)
        twins = speed_up(model, machine.device, machine.dtype)
        optimizers[way] = build_optimizers(model, "muon", 6e-3, 0.03, 0.1, twins)
        nets[way] = model if way == "alone" else processes.wrap(model)
    inside, reduced = [0.0], [0]

    def reduce(_, bucket):  # a GradBucket, which torch does not export; another type here would be refused
        start = time.perf_counter()
        dist.all_reduce(bucket.buffer().div_(processes.size))
        inside[0] += time.perf_counter() - start
        reduced[0] += bucket.buffer().nbytes
        done: torch.futures.Future[Tensor] = torch.futures.Future()
        done.set_result(bucket.buffer())
        return done

    nets["waiting"].register_comm_hook(None, reduce)

    def step(way: str) -> float:
        start = time.perf_counter()
        with machine.autocast():
            logits = nets[way](x)  # (B / n, T, V)
        cross_entropy(logits, y).backward()
        update(optimizers[way])
        return time.perf_counter() - start

    times: dict[str, list[float]] = {way: [] for way in nets}
    reductions, end, turn = [], time.perf_counter() + seconds, 0
    while processes.sum(float(turn < 3 or time.perf_counter() < end))[0] == processes.size:
        for way in times:
            inside[0], reduced[0] = 0.0, 0
            dist.barrier()
            took = step(way)
            if turn:  # the first one does not count
                times[way].append(took)
        if turn:
            reductions.append(inside[0])
        turn += 1
    found = {way: statistics.median(some) for way, some in times.items()}
    if processes.is_first:
        found |= {"reduction": statistics.median(reductions), "bytes": reduced[0], "processes": processes.size}
        print("exchange " + json.dumps(found), flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
