"""The one place where plain parts are exchanged for their fast twins."""

from collections.abc import Mapping

import torch
from torch import nn
from torch.optim import Optimizer

from gpt.fast.layers import AddedMaskAttention, FastAttention, FusedGELU, FusedLayerNorm, KernelAttention, QuickDropout
from gpt.fast.optimizers import BatchedMuon, BFloat16Muon, FusedAdamW, UncompiledSGD
from gpt.model import GELU, CausalSelfAttention, Dropout, LayerNorm, Transformer
from gpt.muon import Muon
from gpt.optim import SGD, AdamW

Twins = Mapping[type, type]  # plain class -> fast class


def speed_up(model: nn.Module, device: torch.device, dtype: torch.dtype) -> Twins:
    """Let a GPT or GPTClassifier on `device`, with matrix products in `dtype`, compute the same faster.

    Each layer gets the class of its twin: the object, its weights and its name in a state dict stay what they are.
    Returns all twins; those of optimizers are for build_optimizers.
    """
    bfloat16 = dtype == torch.bfloat16
    attention: type[FastAttention] = KernelAttention
    config = next(part.config for part in model.modules() if isinstance(part, Transformer))
    if device.type == "cpu" and bfloat16 and config.context_length <= 512:
        attention = AddedMaskAttention
    layers = {LayerNorm: FusedLayerNorm, GELU: FusedGELU, Dropout: QuickDropout, CausalSelfAttention: attention}
    for part in model.modules():
        twin = layers.get(type(part)) or getattr(part, "twins", {}).get(attention)  # of prefix-tuning: its own
        if twin:
            part.__class__ = twin
        if isinstance(part, FastAttention):
            part.prepare(config, device)
    muon = BFloat16Muon if bfloat16 else BatchedMuon  # float16 would overflow in Muon: it computes in float32 there
    return layers | {SGD: UncompiledSGD, AdamW: FusedAdamW, Muon: muon}


def describe_code(model: nn.Module, optimizers: list[Optimizer]) -> str:
    """Which twins a model and its optimizers are made of, for a run's first lines."""
    kinds = dict.fromkeys(type(part) for part in (*model.modules(), *optimizers))
    homes = ("gpt.fast", "gpt.running")  # running/sharding.py has a Muon of its own
    fast = [kind.__name__ for kind in kinds if kind.__module__.startswith(homes)]
    return f"{', '.join(fast)} (gpt/fast; --plain leaves them out)" if fast else "plain: gpt/*.py alone"
