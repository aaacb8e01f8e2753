"""What a training step costs on paper: operations, memory, and bytes between processes, from a model's shape alone.

L layers, C channels, V vocabulary, T tokens of B windows, N parameters, n processes. tests/test_scale.py compares each
formula with a count: of operations, of the bytes of tensors, of the bytes that collective operations move.

Operations a token, 6 N + 12 L C T: PaLM (Chowdhery et al. 2022, appendix B), as gpt/inside/anatomy.py has it.
Activations: Korthikanti et al. 2022, section 4.1, without dropout's masks. Exchange: a ring (Patarasuk and Yuan 2009)
and ZeRO (Rajbhandari et al. 2020, section 7).
"""

from dataclasses import dataclass

import torch

from benchmarks.roofline import table
from gpt.inside.anatomy import anatomy_of, training_flops_per_token
from gpt.model import GPTConfig


def rotary(vocab_size: int, context: int, n_layer: int, n_head: int, n_embd: int) -> GPTConfig:
    return GPTConfig(vocab_size, context, n_layer, n_head, n_embd, position="rotary")


# name -> shape and number of windows in a batch
SHAPES = {
    "smallest": (rotary(256, 16, 2, 2, 32), 4),  # for tests
    "0.8M": (rotary(256, 64, 4, 4, 128), 12),
    "3M": (rotary(256, 128, 5, 4, 224), 16),
    "10.7M": (rotary(256, 256, 6, 6, 384), 32),
    "30M": (rotary(2048, 256, 9, 8, 512), 8),
    "gpt2": (GPTConfig(context_length=256), 4),  # 124M; its context is 1,024, of which a quarter is used
}
PAPER = {
    "gpt2": GPTConfig(),
    "gpt2-medium": GPTConfig(n_layer=24, n_head=16, n_embd=1024),
    "gpt2-large": GPTConfig(n_layer=36, n_head=20, n_embd=1280),
    "gpt2-xl": GPTConfig(n_layer=48, n_head=25, n_embd=1600),
}
GPUS, WINDOWS = 8, 8  # on paper, and windows of each
LINKS = {"PCIe 4.0 × 16": 25e9, "NVLink 4": 450e9}  # bytes a second in one direction; PCIe: what is left of 32
H100 = 0.4 * 989e12  # operations a second: 40 % of what the vendor names for bfloat16
FORMULAS = """\
operations a token    6 N + 12 L C T; N without learned positions, which are looked up
operations of Muon    a step, for each (r, c) matrix of a block, r <= c: 8 r² c + 28 r³, whatever the batch
bytes that stand      4 N weights + 4 N gradients + 4 M Muon's momentum + 8 (N - M) AdamW's two; M = 12 L C²
bytes of activations  B T L C (2 · 4 + 14 w) + B T C (4 + w) + 4 B T V, w bytes a number (2 in bfloat16)
                      + rotary: 2 w B T L C, q and k before they are turned; if the scores are kept, w B L heads T²
                        in place of this; + in bfloat16 a copy of each matrix, 2 (M + V C)
bytes sent a step     by each of n processes, 2 (n-1)/n · 4 N: a ring all-reduce of the gradients
  with --sharding     (n-1)/n · 4 (2 blocks + rest, gathered; + N gradients, scattered; + M gathered by Muon)"""


def in_blocks(config: GPTConfig) -> int:
    """Parameters inside the blocks; the rest are embeddings and the last norm."""
    return config.n_layer * (12 * config.n_embd**2 + 13 * config.n_embd)


def for_muon(config: GPTConfig) -> int:
    """M: parameters that Muon moves, the blocks' matrices."""
    return 12 * config.n_layer * config.n_embd**2


def num_params(config: GPTConfig) -> int:
    return anatomy_of(config).num_params()


def muon_flops(config: GPTConfig) -> int:
    """Operations of BatchedMuon's polynomials in one step (gpt/fast/optimizers.py). An (r, c) matrix with r <= c
    multiplies r² c four times and r³ fourteen times, at two operations each."""
    C = config.n_embd
    ratios = (3, 1, 4, 4)  # the longer side over C: query, key and value; projection; to four times the width and back
    return config.n_layer * sum((8 * ratio + 28) * C**3 for ratio in ratios)


def step_flops(config: GPTConfig, tokens: int) -> int:
    """Operations of one step on so many tokens, in full contexts, with Muon."""
    return tokens * training_flops_per_token(config) + muon_flops(config)


def standing_bytes(config: GPTConfig) -> dict[str, int]:
    """Bytes that are there from step to step (gradients: at the end of the backward pass), all in float32."""
    N, M = num_params(config), for_muon(config)
    return {"weights": 4 * N, "gradients": 4 * N, "optimizer": 4 * M + 8 * (N - M)}


def activation_bytes(config: GPTConfig, batch_size: int, dtype: torch.dtype, keeps_scores: bool) -> int:
    """Bytes that the forward pass of the fast layers keeps for the backward pass, for full contexts, log-probabilities
    included. keeps_scores: AddedMaskAttention, not the kernel."""
    L, C, T, V, w = config.n_layer, config.n_embd, config.context_length, config.vocab_size, dtype.itemsize
    tokens = batch_size * T
    numbers = 14 + (2 if config.position == "rotary" and not keeps_scores else 0)
    kept = tokens * L * C * (8 + numbers * w) + tokens * C * (4 + w) + 4 * tokens * V
    if keeps_scores:
        kept += w * L * config.n_head * tokens * T
    if dtype != torch.float32:
        kept += w * (for_muon(config) + V * C)
    return kept


def sent_bytes(config: GPTConfig, n: int, sharding: bool) -> float:
    """Bytes that each of n processes sends in a step, and receives; float32."""
    N, share = num_params(config), (n - 1) / n
    if not sharding:
        return 2 * share * 4 * N
    gathered = in_blocks(config) + N  # blocks twice, before each pass; the rest is kept between the passes
    return share * 4 * (gathered + N + for_muon(config))


@dataclass(frozen=True)
class Cost:
    """What one of n GPUs needs for its part of a step."""

    standing: float
    activations: float
    borrowed: float  # with --sharding: parameters of others, at the time when most are needed
    sent: float

    @property
    def memory(self) -> float:
        return self.standing + self.activations + self.borrowed


def cost(config: GPTConfig, n: int, batch_size: int, sharding: bool) -> Cost:
    """Of one of n GPUs with batch_size windows of its own, in bfloat16. At most, the rest and two blocks are borrowed
    (one computes, the next is on its way). Muon later borrows all matrices of one shape, when the activations are gone.
    """
    standing = sum(standing_bytes(config).values())
    activations = activation_bytes(config, batch_size, torch.bfloat16, keeps_scores=False)
    sent = sent_bytes(config, n, sharding)
    if not sharding:
        return Cost(standing, activations, 0, sent)
    block = in_blocks(config) / config.n_layer
    rest = num_params(config) - in_blocks(config)
    passes = 4 * (rest + 2 * block)
    muon = 4 * 4 * config.n_layer * config.n_embd**2  # c_fc's of all blocks: larger than c_attn's
    return Cost(standing / n, activations, max(passes, muon - activations), sent)


def paper_table() -> str:
    """gpt2 to gpt2-xl on 8 GPUs, without and with --sharding."""
    tokens = GPUS * WINDOWS * 1024
    head = [f"on paper, {GPUS} GPUs × {WINDOWS} × 1,024", "TFLOP a step", "s", "GB a GPU: standing", "activations",
            "borrowed", "sum", "GB sent a step", *(f"s, {link}" for link in LINKS)]  # fmt: skip
    rows = []
    for name, shape in PAPER.items():
        for sharding in (False, True):
            of_one = cost(shape, GPUS, WINDOWS, sharding)
            flops = tokens * training_flops_per_token(shape) + GPUS * muon_flops(shape)  # each runs all of Muon
            sizes = of_one.standing, of_one.activations, of_one.borrowed, of_one.memory, of_one.sent
            rows.append([
                name + (", --sharding" if sharding else ""), f"{flops / 1e12:,.0f}", f"{flops / GPUS / H100:.2f}",
                *(f"{size / 1e9:.1f}" for size in sizes), *(f"{of_one.sent / link:.3f}" for link in LINKS.values()),
            ])  # fmt: skip
    return table(head, rows)
