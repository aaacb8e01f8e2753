"""The size of a GPT, part by part, computed from its shape: nothing is allocated, so a laptop suffices for GPT-3.

Each part has a formula for its number of parameters. Memory and operations follow from them.
"""

from dataclasses import dataclass

from gpt.model import GPTConfig


@dataclass(frozen=True)
class Anatomy:
    """The properties of a decoder-only transformer that determine its size. The defaults are those of GPT-2."""

    vocab_size: int
    context_length: int
    n_layer: int
    n_embd: int
    learned_positions: bool = True
    attention_bias: bool = True
    norms_per_block: int = 2
    final_norm: bool = True
    tied_head: bool = True  # the head shares the token embedding's matrix; an untied head also has a bias (GPT-J)

    def parameters(self) -> dict[str, int]:
        """Number of parameters of each part; their sum is num_params()."""
        V, C, L = self.vocab_size, self.n_embd, self.n_layer
        return {
            "token embedding": V * C,
            "positions": self.context_length * C if self.learned_positions else 0,
            "attention": L * (4 * C * C + (4 * C if self.attention_bias else 0)),  # query, key, value, projection
            "MLP": L * (2 * C * 4 * C + 4 * C + C),  # to four times the width and back
            "norms": (self.norms_per_block * L + self.final_norm) * 2 * C,  # a gain and a shift each
            "head": 0 if self.tied_head else V * C + V,
        }

    def num_params(self) -> int:
        """Number of parameters of the whole model."""
        return sum(self.parameters().values())

    def flops_per_token(self, context: int | None = None) -> dict[str, int]:
        """Floating-point operations of each part to read one token that attends to `context` tokens (by default, a full
        context); a multiply-add counts as two. Training costs three times as much: the backward pass costs two forward
        passes. Norms, softmax and activations are left out: under 1 % in models of a useful size."""
        V, C, L, S = self.vocab_size, self.n_embd, self.n_layer, context or self.context_length
        return {
            "attention, matrices": 2 * L * 4 * C * C,
            "attention, scores and sums": 2 * L * 2 * S * C,
            "MLP": 2 * L * 8 * C * C,
            "head": 2 * V * C,
        }

    def memory(self, bytes_per_weight: float = 4) -> dict[str, float]:
        """Bytes. Training: weights, gradients and AdamW's two moments, all in float32, without activations. Cache: the
        keys and values of one full context, in the precision of the weights."""
        return {
            "weights": self.num_params() * bytes_per_weight,
            "training": self.num_params() * 16,
            "cache": 2 * self.n_layer * self.context_length * self.n_embd * bytes_per_weight,
        }


def anatomy_of(config: GPTConfig) -> Anatomy:
    """The anatomy of one of our own models."""
    learned = config.position == "learned"
    return Anatomy(config.vocab_size, config.context_length, config.n_layer, config.n_embd, learned)


def training_flops_per_token(config: GPTConfig) -> int:
    """Floating-point operations to train on one token in a full context of T tokens: 6 N + 12 n_layer n_embd T.

    The convention of PaLM (Chowdhery et al. 2022, appendix B): a multiply-add counts as two, and the backward pass
    costs two forward passes. N is the number of parameters without learned positions, which are looked up and not
    multiplied. The whole (T, T) matrix of attention scores counts, although half of it is masked.
    """
    anatomy = anatomy_of(config)
    in_matrices = anatomy.num_params() - anatomy.parameters()["positions"]
    return 6 * in_matrices + 12 * config.n_layer * config.n_embd * config.context_length


def gpt3(n_layer: int, n_embd: int) -> Anatomy:
    """GPT-3 (Brown et al. 2020, table 2.1) has GPT-2's architecture; its sparse attention has the same weights."""
    return Anatomy(50257, 2048, n_layer, n_embd)


FAMILY = {
    "gpt": Anatomy(40478, 512, 12, 768, final_norm=False),  # Radford et al. 2018
    "gpt2": Anatomy(50257, 1024, 12, 768),
    "gpt2-medium": Anatomy(50257, 1024, 24, 1024),
    "gpt2-large": Anatomy(50257, 1024, 36, 1280),
    "gpt2-xl": Anatomy(50257, 1024, 48, 1600),
    "gpt3-125m": gpt3(12, 768),
    "gpt3-350m": gpt3(24, 1024),
    "gpt3-760m": gpt3(24, 1536),
    "gpt3-1.3b": gpt3(24, 2048),
    "gpt3-2.7b": gpt3(32, 2560),
    "gpt3-6.7b": gpt3(32, 4096),
    "gpt3-13b": gpt3(40, 5120),  # the table says 5140, but 40 heads of 128 channels make 5120
    "gpt3": gpt3(96, 12288),
    # Wang and Komatsuzaki 2021: rotary positions; attention and MLP in parallel, after one norm.
    "gpt-j-6b": Anatomy(50400, 2048, 28, 4096, False, attention_bias=False, norms_per_block=1, tied_head=False),
}
