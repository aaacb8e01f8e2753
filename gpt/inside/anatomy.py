"""The size of a GPT, part by part, computed from its shape: nothing is allocated, so a laptop suffices for GPT-3.
Beside it BERT, which has the same blocks, and T5, which has two stacks of them.

Each part has a formula for its number of parameters. Memory and operations follow from them.
"""

from dataclasses import dataclass

from gpt.model import GPTConfig


@dataclass(frozen=True)
class Anatomy:
    """The properties of a transformer with one stack of blocks that determine its size. The defaults are GPT-2's."""

    vocab_size: int
    context_length: int
    n_layer: int
    n_embd: int
    learned_positions: bool = True
    attention_bias: bool = True
    norms_per_block: int = 2
    final_norm: bool = True
    tied_head: bool = True  # the head shares the token embedding's matrix; an untied head also has a bias (GPT-J)
    segments: int = 0  # kinds of text that a learned vector tells apart, as positions are (BERT: a pair's two texts)
    pooler: bool = False  # in place of a language head, a matrix on the state of the first token (BERT)
    caches: int = 1  # contexts whose keys and values are kept while generating; BERT does not generate

    def parameters(self) -> dict[str, int]:
        """Number of parameters of each part; their sum is num_params()."""
        V, C, L = self.vocab_size, self.n_embd, self.n_layer
        return {
            "token embedding": V * C,
            "positions": (self.context_length * self.learned_positions + self.segments) * C,
            "attention": L * (4 * C * C + (4 * C if self.attention_bias else 0)),  # query, key, value, projection
            "MLP": L * (2 * C * 4 * C + 4 * C + C),  # to four times the width and back
            "norms": (self.norms_per_block * L + self.final_norm) * 2 * C,  # a gain and a shift each
            "head": (0 if self.tied_head else V * C + V) + (C * C + C if self.pooler else 0),
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
            "head": 0 if self.pooler else 2 * V * C,  # one product for a whole text is nothing
        }

    def memory(self, bytes_per_weight: float = 4) -> dict[str, float]:
        """Bytes. Training: weights, gradients and AdamW's two moments, all in float32, without activations. Cache: the
        keys and values of one full context (T5: of two), in the precision of the weights."""
        return {
            "weights": self.num_params() * bytes_per_weight,
            "training": self.num_params() * 16,
            "cache": self.caches * 2 * self.n_layer * self.context_length * self.n_embd * bytes_per_weight,
        }


@dataclass(frozen=True)
class EncoderDecoder(Anatomy):
    """T5 ("Exploring the Limits of Transfer Learning", Raffel et al. 2020, section 2.1): n_layer blocks read a text,
    and n_layer others write an answer, looking back at it and at the whole text. There are no biases, norms have no
    shift (RMSNorm), and a position is a number that each stack adds to a head's scores."""

    n_head: int = 12
    distances: int = 32  # kinds of distance between two tokens that have a number of their own
    caches: int = 2  # of the answer, and of the text that it looks at

    def parameters(self) -> dict[str, int]:
        """Number of parameters of each part."""
        V, C, L = self.vocab_size, self.n_embd, self.n_layer
        return {
            "token embedding": V * C,
            "positions": 2 * self.distances * self.n_head,
            "attention": 3 * L * 4 * C * C,  # the reader's, the writer's, and the writer's look at the text
            "MLP": 2 * L * 2 * C * 4 * C,
            "norms": (2 * L + 1 + 3 * L + 1) * C,
            "head": 0,
        }

    def flops_per_token(self, context: int | None = None) -> dict[str, int]:
        """As above, for a token on average, when as many are written as are read."""
        V, C, L, S = self.vocab_size, self.n_embd, self.n_layer, context or self.context_length
        return {
            "attention, matrices": L * 3 * 4 * C * C,
            "attention, scores and sums": L * 3 * 2 * S * C,
            "MLP": 2 * L * 8 * C * C,
            "head": V * C,
        }


def anatomy_of(config: GPTConfig) -> Anatomy:
    """The anatomy of one of our own models."""
    learned = config.position == "learned"
    shape = config.vocab_size, config.context_length, config.n_layer, config.n_embd, learned
    return Anatomy(*shape, caches=int(config.causal))


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


def bert(n_layer: int, n_embd: int) -> Anatomy:
    """BERT, uncased (Devlin et al. 2019, section 3). Its last norm stands behind the embeddings instead."""
    return Anatomy(30522, 512, n_layer, n_embd, segments=2, pooler=True, caches=0)


def t5(n_layer: int, n_embd: int) -> EncoderDecoder:
    """T5 (Raffel et al. 2020, section 3.7) with heads of 64 channels, in the sizes whose heads share n_embd."""
    return EncoderDecoder(32128, 512, n_layer, n_embd, n_head=n_embd // 64)


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
    "bert-base": bert(12, 768),
    "bert-large": bert(24, 1024),
    "t5-small": t5(6, 512),
    "t5-base": t5(12, 768),
    "t5-large": t5(24, 1024),
}
