"""The variants that `python -m benchmarks.smaller` measures, and how each is made from the whole model."""

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from benchmarks.few_bits import round_matrices
from gpt.dataset import Dataset
from gpt.export.pruning import drop_blocks, prune_weights, train_pruned
from gpt.fast.int8 import quantize_int8
from gpt.fast.speed_up import speed_up
from gpt.files.tokens_folder import TokensFolder
from gpt.inside.ablation import losses_without
from gpt.model import GPT
from gpt.running.device import Machine
from gpt.running.processes import Processes
from gpt.running.validation import validation_loss
from gpt.tokenizer import Tokenizer

if TYPE_CHECKING:
    from benchmarks.smaller import SmallerConfig

NEVER = 2.0  # a threshold that no probability reaches


class Lab(NamedTuple):
    """What all variants are made from and measured with."""

    whole: GPT
    tokenizer: Tokenizer
    corpus: TokensFolder
    machine: Machine
    config: "SmallerConfig"

    def loss(self, model: GPT, tokens: Any) -> float:
        """In nats per token, on these tokens of the corpus."""
        dataset = Dataset(tokens, tokens, self.tokenizer.end_of_text, model.config.context_length, batch_size=32)
        return validation_loss(model, dataset, self.machine, Processes(0, 1, self.machine.device), accumulate=1)

    def copy(self) -> GPT:
        return copy.deepcopy(self.whole)


class Variant(NamedTuple):
    name: str
    make: Callable[[], GPT]
    size: float | None = None  # bytes on the disk, where they are computed and not those of the tensors
    threshold: float = NEVER  # for leaving early


def variants(lab: Lab) -> list[Variant]:
    """All that are measured."""
    heads, blocks = least_needed(lab)
    found = [Variant("float32", lab.copy), Variant("int8", lambda: in_8_bits(lab))]
    for bits in lab.config.bits:
        model = lab.copy()
        size = round_matrices(model, bits)
        found.append(Variant(f"{bits} bits", lambda model=model: model, size))
    found.append(Variant("0 % zeros, trained", lambda: pruned(lab, 0.0, trained=True)))
    for fraction in lab.config.fractions:
        for trained in (False, True):
            name = f"{fraction:.0%}".replace("%", " % zeros") + ", trained" * trained
            found.append(Variant(name, lambda f=fraction, t=trained: pruned(lab, f, t)))
    for count in range(len(heads) // 4, len(heads), max(1, len(heads) // 4)):
        name = f"without {count} of {len(heads)} heads"
        found.append(Variant(name, lambda off=heads[:count]: without_these_heads(lab, off)))
    for count in range(1, len(blocks)):
        gone = tuple(sorted(blocks[:count]))
        for trained in (False, True):
            name = f"without block {' and '.join(map(str, gone))}" + ", trained" * trained
            found.append(Variant(name, lambda g=gone, t=trained: pruned(lab, 0.0, t, g)))
    for threshold in lab.config.thresholds:
        found.append(Variant(f"leaves at {threshold:g}", lab.copy, threshold=threshold))
    return found


def least_needed(lab: Lab) -> tuple[list[tuple[int, int]], list[int]]:
    """(Heads as (layer, head) from 0, numbers of blocks from 1), each with the least needed first."""
    _, heads, blocks = losses_without(lab.copy(), lambda model: lab.loss(model, lab.corpus.train[:5_000]))
    order = heads.flatten().argsort().tolist()
    return [divmod(number, heads.size(1)) for number in order], (blocks[:, 0].argsort() + 1).tolist()


def in_8_bits(lab: Lab) -> GPT:
    model = lab.copy()
    quantize_int8(model)
    return model


def pruned(lab: Lab, fraction: float, trained: bool, blocks: tuple[int, ...] = ()) -> GPT:
    model = lab.copy()
    drop_blocks(model, blocks)
    masks = prune_weights(model, fraction)
    if trained:
        twins = speed_up(model, lab.machine.device, lab.machine.dtype)
        dataset = lab.corpus.dataset(model.config.context_length, 16, lab.config.seed + 1)
        train_pruned(model, dataset, masks, lab.config.steps, lab.machine, twins)
    return model


@torch.no_grad()
def without_these_heads(lab: Lab, heads: list[tuple[int, int]]) -> GPT:
    """Each head's columns of the output matrix are 0, for good."""
    model, hs = lab.copy(), lab.whole.config.head_size
    for layer, head in heads:
        model.transformer.h[layer].attn.c_proj.weight[:, head * hs : (head + 1) * hs] = 0
    return model
