"""A model whose weights are spread over several processes (ZeRO, Rajbhandari et al. 2020; PyTorch's `fully_shard`).

Each process keeps only its share of the weights, gradients and optimizer state, and borrows the rest, block by block,
when it computes with them.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gpt.fast.optimizers import BatchedMuon, BFloat16Muon
from gpt.model import GPT
from gpt.muon import Muon


def shard(model: GPT, device: torch.device, size: int) -> GPT:
    """This process's share of a model, on its device."""
    from torch.distributed.device_mesh import init_device_mesh  # here, because this takes time to import
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(device.type, (size,))
    for block in model.transformer.h:  # moved and split one by one, because all of them may not fit
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)
    return model


class ShardedMuon(BatchedMuon):
    """Muon for matrices of which this process holds only some rows: orthogonalising needs them whole."""

    def directions(self, updates: list[Tensor]) -> list[Tensor]:
        whole = super().directions([whole_tensor(update) for update in updates])
        return [share_like(direction, update) for direction, update in zip(whole, updates, strict=True)]


class ShardedBFloat16Muon(ShardedMuon, BFloat16Muon):
    """The same in bfloat16."""


def sharded_twins(twins: Mapping[type, type]) -> dict[type, type]:
    """The twins for build_optimizers where weights are sharded."""
    return {**twins, Muon: ShardedBFloat16Muon if twins[Muon] is BFloat16Muon else ShardedMuon}


def whole_tensor(tensor: Any) -> Tensor:
    """All of a tensor of which this process may hold only a share (PyTorch's DTensor); every process must ask for
    it."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def share_like(tensor: Tensor, like: Any) -> Tensor:
    """This process's share of a whole tensor, where `like` is a share; otherwise all of it."""
    if not hasattr(like, "full_tensor"):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(tensor.to(like.device, like.dtype), like.device_mesh, like.placements, src_data_rank=None)


def gather(state: Any, is_first: bool) -> Any:
    """A state dict with whole tensors where shares were, for the first process; every process must ask for it."""
    if isinstance(state, dict):
        return {key: gather(value, is_first) for key, value in state.items()}
    if isinstance(state, list):
        return [gather(value, is_first) for value in state]
    if not isinstance(state, Tensor):
        return state
    full = whole_tensor(state)
    return full.cpu() if is_first else None


def load_shares(model: nn.Module, optimizers: list[Optimizer], state: dict) -> None:
    """Put whole "weights" and "optimizers" of a resume file where they belong, as shares where those are kept."""
    own = model.state_dict()
    model.load_state_dict({name: share_like(weight, own[name]) for name, weight in state["weights"].items()})
    for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        for number, entries in saved["state"].items():
            for name, value in entries.items():
                if isinstance(value, Tensor) and value.shape == weights[number].shape:  # others count steps
                    entries[name] = share_like(value, weights[number])
        optimizer.load_state_dict(saved)
