"""One run on several processes, which `torchrun` starts: how they share the work, and what they exchange.

Every process holds the whole model and takes its share of each batch's windows. Before the update, gradients are
averaged over all processes, so that all take the same step (`DistributedDataParallel`, Li et al. 2020). With
`--sharding` a process keeps only its share of the model (sharding.py). On one process all of this does nothing.
"""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from gpt.errors import UserError
from gpt.files.lock import alone_in
from gpt.model import GPT
from gpt.running import sharding
from gpt.running.device import Machine

PATIENCE = timedelta(minutes=30)  # for which one process waits for another: generating data and samples takes a while


def place_of_process() -> tuple[int, int, int]:
    """(rank, number of processes, rank among those of this machine), as set by torchrun. Only this function reads
    them."""
    rank, size, local_rank = (os.environ.get(name) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    return int(rank or 0), int(size or 1), int(local_rank or 0)


def own_device(device: str) -> str:
    """The device of this process: with several of them, each takes a GPU of its own."""
    _, size, local_rank = place_of_process()
    if size > 1 and device == "auto":  # never mps: Apple's GPU cannot exchange gradients
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return f"cuda:{local_rank}" if size > 1 and device == "cuda" else device


@dataclass
class Processes:
    """The processes of a run. `rank` counts them from 0; the first one alone writes files and prints."""

    rank: int
    size: int
    device: torch.device
    sharding: bool = False
    forward: Any = field(default=None, repr=False)  # the model that `wrap` made

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    @contextlib.contextmanager
    def first_alone(self) -> Iterator[None]:
        """The first process does what is inside before the others do it (and find it done)."""
        if not self.is_first:
            dist.barrier()
        yield
        if self.is_first and self.size > 1:
            dist.barrier()

    def place(self, model: GPT) -> GPT:
        """The model on this process's device; of a sharded one, this process's share."""
        return sharding.shard(model, self.device, self.size) if self.sharding else model.to(self.device)

    def twins(self, twins: Mapping[type, type]) -> Mapping[type, type]:
        """The fast twins that this run's optimizers can use."""
        return sharding.sharded_twins(twins) if self.sharding else twins

    def wrap(self, model: Any) -> Any:
        """The model, made to average its gradients with the other processes' when it computes them."""
        self.forward = model
        if self.size > 1 and not self.sharding:
            self.forward = nn.parallel.DistributedDataParallel(model)
        return self.forward

    def parts(self, inputs: Tensor, targets: Tensor, accumulate: int) -> Iterator[tuple[Tensor, Tensor]]:
        """This process's share of a batch (B, T), in `accumulate` parts, on its device."""
        inputs, targets = self.share(inputs, 0), self.share(targets, 0)
        pairs = zip(inputs.chunk(accumulate), targets.chunk(accumulate), strict=True)
        for number, (some_inputs, some_targets) in enumerate(pairs, start=1):
            with self.exchanging(now=number == accumulate):
                yield some_inputs.to(self.device), some_targets.to(self.device)

    @contextlib.contextmanager
    def exchanging(self, now: bool) -> Iterator[None]:
        """Gradients computed inside are exchanged, or only added up if not `now`: once for each step is enough."""
        if self.sharding:
            self.forward.set_requires_gradient_sync(now)
        with self.forward.no_sync() if self.size > 1 and not self.sharding and not now else contextlib.nullcontext():
            yield

    def share(self, rows: Tensor, padding: int) -> Tensor:
        """(B, T) -> (B / size, T): this process's rows of a batch; `padding` makes up rows where they do not suffice,
        so that all have equally many."""
        rows = F.pad(rows, (0, 0, 0, -len(rows) % self.size), value=padding)
        return rows.chunk(self.size)[self.rank]

    def sum(self, *numbers: float) -> list[float]:
        """Each number added up over the processes."""
        if self.size == 1:
            return list(numbers)
        total = torch.tensor(numbers, dtype=torch.float64, device=self.device)
        dist.all_reduce(total)
        return total.tolist()

    def agree(self, loss: float, stop: bool) -> tuple[float, bool]:
        """The mean loss, and whether any process was asked to stop, so that all stop after the same step."""
        total, stops = self.sum(loss, float(stop))
        return total / self.size, stops > 0

    def gather(self, state: Any) -> Any:
        """A state dict with whole tensors, for the first process; every process must ask for it."""
        return sharding.gather(state, self.is_first) if self.sharding else state

    def whole_model(self, model: GPT) -> GPT:
        """The model to sample from and to save. Of a sharded one the first process gets a copy on the CPU; every
        process must ask for it."""
        if not self.sharding:
            return model
        weights = self.gather(model.state_dict())
        if self.is_first:
            model = GPT(model.config)
            model.load_state_dict(weights)
        return model.eval()

    def load(self, model: nn.Module, optimizers: list[Optimizer], state: dict) -> None:
        """Put "weights" and "optimizers" of a resume file where they belong, whatever number of processes wrote
        them."""
        sharding.load_shares(model, optimizers, state)


def join_processes(machine: Machine, batch_size: int, accumulate: int, shard: bool) -> Processes:
    """Meet the other processes of this run. Raises UserError where the batch cannot be shared out among them."""
    rank, size, _ = place_of_process()
    if batch_size % (size * accumulate):
        raise UserError(
            f"batch_size {batch_size} cannot be split into {size * accumulate} equal parts, "
            f"{accumulate} (--accumulate) for each of {size} processes"
        )
    if shard and size == 1:
        raise UserError("--sharding spreads a model over several processes: torchrun --nproc-per-node N train.py ...")
    if shard and machine.dtype == torch.float16:
        raise UserError(
            "--sharding does not go with float16, whose scale needs all gradients in one place: use bfloat16"
        )
    if size > 1:
        if machine.device.type == "cuda":
            torch.cuda.set_device(machine.device)
        dist.init_process_group("nccl" if machine.device.type == "cuda" else "gloo", timeout=PATIENCE)
        if rank > 0:
            sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123  only the first process prints
    return Processes(rank, size, machine.device, shard)


@contextlib.contextmanager
def session(out: Path) -> Iterator[None]:
    """Nobody else writes to the run folder meanwhile. Leave the other processes at the end; if one of them dies
    earlier, the others raise UserError. An error that all processes raise is printed by the first one alone, because
    the others end with it."""
    try:
        with alone_in(out) if place_of_process()[0] == 0 else contextlib.nullcontext():
            yield
    except (RuntimeError, UserError, OSError) as error:
        lost = dist.is_initialized() and any(sign in str(error) for sign in ("by peer", "gloo", "NCCL"))
        if place_of_process()[0] > 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            time.sleep(3)
        if lost:
            raise UserError(
                "another process of this run has ended, so all end; what was saved is whole: go on with --resume"
            ) from None
        raise
    if dist.is_initialized():
        dist.destroy_process_group()
